#@ String (label="Model (NAME, NAME@VERSION, bioimage.io/ID, or an address)", value="@MODEL@", persist=false) model
// CARE Get Models...: brings a model of carezoo to this computer. Written by carezoo fiji install.

// @COMMON@

try {
  refuseUnknown(["model"])
  def before = ask("models", [:]).models.collect { it.name + " " + it.version + ": " + it.description }
  IJ.log("On this computer:\n" + before.join("\n"))
  IJ.showStatus("fetching " + model + " ...")
  def outputs = ask("pull", [model: model]) { task, event -> if (event.maximum > 0) IJ.showProgress((double) event.current / event.maximum) }
  IJ.showProgress(1.0)
  IJ.log("CAREzoo: " + outputs.model.id + " " + outputs.model.version + " is on this computer")
  conclude("OK fetched " + outputs.model.id + " " + outputs.model.version)
} catch (Throwable error) {
  fail(error)
}
