// CARE Restore...: restores the active image with a model of carezoo. Written by carezoo fiji install.
// The image is copied into a temporary TIFF, restored by the command line, and the results are opened.
var python = "@PYTHON@";
var options = call("ij.Macro.getOptions");
var folder = ""; // for temporary files

if (nImages == 0) fail("InputError", "there is no image open. Open the image to restore and click on it");
if (bitDepth() == 24) fail("FileFormatError", getTitle() + " is an RGB image: its colours are for looking at, not intensities. Split it with Image > Color > Split Channels, or better, open the original file");
models = split(ask(newArray("models", getDirectory("temp"), d2s(getWidth() * getHeight() * nSlices * bitDepth() / 8, 0))), "\n");
types = newArray("32-bit", "as the image");
regions = newArray("whole image", "selection");

Dialog.create("CARE Restore");
Dialog.addChoice("Model", models, models[0]);
Dialog.addString("Package_file", "", 30);
Dialog.addChoice("Region", regions, regions[0]);
Dialog.addChoice("Result_type", types, types[0]);
Dialog.addString("Tile", "auto");
Dialog.addString("Average frames", "1");
Dialog.addCheckbox("Show_uncertainty", true);
Dialog.show();
model = Dialog.getChoice();
file = String.trim(Dialog.getString());
region = Dialog.getChoice();
type = Dialog.getChoice();
tile = Dialog.getString();
average = Dialog.getString();
uncertain = Dialog.getCheckbox();
if (file != "") model = file;
dtype = "float32";
if (type == types[1]) dtype = "input";
if (region == regions[1] && selectionType() < 0) fail("InputError", getTitle() + " has no selection. Draw one, or choose the whole image");

title = getTitle();
stem = File.getNameWithoutExtension(title);
folder = temporaryFolder();
wasBatch = is("Batch Mode");
if (!wasBatch) setBatchMode(true);
ignore = "";
if (region == regions[0]) ignore = "ignore ";
if (nSlices > 1) run("Duplicate...", "title=carezoo " + ignore + "duplicate");
else run("Duplicate...", "title=carezoo " + ignore);
saveAs("Tiff", folder + "image.tif");
close();
showStatus("restoring " + title + " with " + model + "; Escape stops");
lines = split(askAndWait(newArray("restore", folder + "image.tif", folder, model, tile, dtype, average)), "\n");
shown = 0;
reference = model;
for (i = lines.length - 1; i >= 0; i--) {
  equals = indexOf(lines[i], "=");
  name = substring(lines[i], 0, equals);
  value = substring(lines[i], equals + 1);
  if (name == "model") reference = value;
  else if (name == "note") {
    if (startsWith(value, "image.tif: ")) value = substring(value, 11); // the copy's name
    print("CAREzoo: " + title + ": " + value);
  }
  else if (name == "mean" || uncertain) {
    before = nImages;
    open(value);
    if (nImages == before) fail("FileFormatError", "ImageJ cannot open the result " + value);
    ending = name;
    if (name == "mean") ending = "restored";
    else for (c = 1; c <= nSlices; c++) run("Fire");
    rename(stem + "_" + ending);
    if (name == "mean") run("Enhance Contrast", "saturated=0.2");
    else if (nSlices == 1) { getStatistics(area, mean, low, high); setMinAndMax(0, high); }
    shown++;
  }
}
cleanUp();
if (!wasBatch) setBatchMode("exit and display");
conclude("OK restored " + title + " with " + reference);

// @COMMON@
