// CARE Model Info...: what a model of carezoo is. Written by carezoo fiji install.
var python = "@PYTHON@";
var options = call("ij.Macro.getOptions");
var folder = "";

models = split(ask(newArray("models")), "\n");
Dialog.create("CARE Model Info");
Dialog.addChoice("Model", models, models[0]);
Dialog.addString("Package_file", "", 30);
Dialog.show();
model = Dialog.getChoice();
file = String.trim(Dialog.getString());
if (file != "") model = file;
print(ask(newArray("info", model)));
conclude("OK showed " + model);

// @COMMON@
