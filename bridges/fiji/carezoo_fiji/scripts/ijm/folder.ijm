// CARE Restore Folder...: restores all images of a folder into another one. Written by carezoo fiji install.
var python = "@PYTHON@";
var options = call("ij.Macro.getOptions");
var folder = "";

models = split(ask(newArray("models")), "\n");
types = newArray("32-bit", "as the image");
Dialog.create("CARE Restore Folder");
Dialog.addString("Input_folder", "", 30);
Dialog.addString("Output_folder", "", 30);
Dialog.addChoice("Model", models, models[0]);
Dialog.addString("Package_file", "", 30);
Dialog.addChoice("Result_type", types, types[0]);
Dialog.addString("Tile", "auto");
Dialog.addString("Average frames", "1");
Dialog.show();
input = String.trim(Dialog.getString());
output = String.trim(Dialog.getString());
model = Dialog.getChoice();
file = String.trim(Dialog.getString());
type = Dialog.getChoice();
tile = Dialog.getString();
average = Dialog.getString();
if (file != "") model = file;
if (input == "" || !File.isDirectory(input)) fail("InputError", "input_folder=" + input + ": expected a folder of images");
if (output == "") fail("InputError", "output_folder is empty: expected the folder for the results");
dtype = "float32";
if (type == types[1]) dtype = "input";
names = split(ask(newArray("images", input)), "\n");
restored = 0;
for (i = 0; i < names.length; i++) {
  if (startsWith(names[i], "note=")) print("CAREzoo: " + substring(names[i], 5));
  else {
    showStatus("restoring " + names[i] + " (" + i + 1 + " of " + names.length + ") with " + model + "; Escape stops");
    askAndWait(newArray("restore", input + File.separator + names[i], output, model, tile, dtype, average));
    print("CAREzoo: " + names[i] + ": restored");
    restored++;
  }
}
cleanUp();
conclude("OK restored " + restored + " files into " + output);

// @COMMON@
