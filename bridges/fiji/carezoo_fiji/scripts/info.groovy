#@ String (label="Model", value="@MODEL@", persist=false) model
// CARE Model Info...: what a model of carezoo is. Written by carezoo fiji install.

// @COMMON@

try {
  refuseUnknown(["model"])
  def outputs = ask("describe", [model: model])
  IJ.log(outputs.summary)
  conclude("OK showed " + outputs.model.id + " " + outputs.model.version)
} catch (Throwable error) {
  fail(error)
}
