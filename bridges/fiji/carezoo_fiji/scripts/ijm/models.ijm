// CARE Get Models...: brings a model of carezoo to this computer. Written by carezoo fiji install.
var python = "@PYTHON@";
var options = call("ij.Macro.getOptions");
var folder = "";

models = String.trim(ask(newArray("models")));
Dialog.create("CARE Get Models");
Dialog.addMessage("On this computer:\n" + models);
Dialog.addString("Model", "", 30);
Dialog.addMessage("NAME, NAME@VERSION, bioimage.io/ID, or the address of a package.");
Dialog.show();
model = String.trim(Dialog.getString());
if (model == "") fail("InputError", "no model was named: expected a name, NAME@VERSION, or the address of a package");
showStatus("fetching " + model + "; Escape stops");
askAndWait(newArray("pull", model));
cleanUp();
print("CAREzoo: " + model + " is on this computer");
conclude("OK fetched " + model);

// @COMMON@
