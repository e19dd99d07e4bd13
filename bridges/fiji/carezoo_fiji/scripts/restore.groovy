#@ String (label="Model", value="@MODEL@", persist=false) model
#@ String (label="Region", choices={"whole image", "selection"}, value="whole image", persist=false) region
#@ Boolean (label="Show uncertainty", value=true, persist=false) show_uncertainty
// @SETTINGS@
// CARE Restore...: restores the active image with a model of carezoo, in a worker that stays alive. Written by carezoo fiji install.
import ij.CompositeImage
import ij.ImagePlus
import ij.ImageStack
import ij.WindowManager
import ij.measure.Calibration
import ij.plugin.LutLoader
import ij.process.LUT
import java.nio.ByteOrder
import org.apposed.appose.NDArray

// @COMMON@

// The planes of an image into shared memory, axes T, Z, C, Y, X: ImageJ's order of planes is the order in memory.
def share(ImagePlus imp, java.awt.Rectangle box) {
  def depth = imp.getBitDepth()
  def type = depth == 8 ? NDArray.DType.UINT8 : depth == 16 ? NDArray.DType.UINT16 : NDArray.DType.FLOAT32
  def shape = [imp.getNFrames(), imp.getNSlices(), imp.getNChannels(), box.height, box.width] as int[]
  def array = new NDArray(type, new NDArray.Shape(NDArray.Shape.Order.C_ORDER, shape))
  def buffer = array.buffer().order(ByteOrder.nativeOrder())
  buffer.rewind()
  def view = depth == 8 ? buffer : depth == 16 ? buffer.asShortBuffer() : buffer.asFloatBuffer()
  def stack = imp.getStack()
  for (int i = 1; i <= stack.getSize(); i++) {
    def processor = stack.getProcessor(i)
    processor.setRoi(box)
    view.put(processor.crop().getPixels())
  }
  return array
}

// A result as a window's image, in axes T, Z, C, Y, X again.
def unshare(Map result, String title, ImagePlus source, java.awt.Rectangle box, boolean isMean, int average) {
  def array = result.array
  def axes = result.axes
  def sizes = [T: 1, Z: 1, C: 1, Y: 1, X: 1]
  for (int d = 0; d < axes.length(); d++) sizes[axes.substring(d, d + 1)] = array.shape().get(d)
  def type = array.dType().toString()
  def buffer = array.buffer().order(ByteOrder.nativeOrder())
  buffer.rewind()
  def view = type == "UINT8" ? buffer : type == "UINT16" ? buffer.asShortBuffer() : buffer.asFloatBuffer()
  def stack = new ImageStack(sizes.X, sizes.Y)
  for (int i = 0; i < sizes.T * sizes.Z * sizes.C; i++) {
    def pixels // not by "? :", which makes arrays of numbers arrays of one type
    if (type == "UINT8") pixels = new byte[sizes.X * sizes.Y]
    else if (type == "UINT16") pixels = new short[sizes.X * sizes.Y]
    else pixels = new float[sizes.X * sizes.Y]
    view.get(pixels)
    stack.addSlice(null, pixels)
  }
  def made = new ImagePlus(title, stack)
  made.setDimensions(sizes.C, sizes.Z, sizes.T)
  made.setOpenAsHyperStack(stack.getSize() > 1)
  def calibration = source.getCalibration().copy()
  if (made.getBitDepth() != source.getBitDepth() || calibration.isSigned16Bit()) calibration.setFunction(Calibration.NONE, null, "Gray Value")
  if (result.pixel_size_um.Z != null) calibration.pixelDepth *= result.pixel_size_um.Z
  calibration.frameInterval *= average
  calibration.xOrigin -= box.x
  calibration.yOrigin -= box.y
  made.setCalibration(calibration)
  if (sizes.C > 1) {
    made = new CompositeImage(made, isMean && source.isComposite() ? source.getDisplayMode() : CompositeImage.GRAYSCALE)
    if (isMean && source.isComposite()) made.copyLuts(source)
  }
  for (int c = 1; c <= sizes.C; c++) {
    made.setPosition(c, (int) ((sizes.Z + 1) / 2), 1)
    if (!isMean) made.getChannelProcessor().setLut(new LUT(LutLoader.getLut("fire"), 0d, 1d))
    def statistics = made.getStatistics()
    made.setDisplayRange(isMean ? statistics.min : 0, statistics.max)
  }
  made.setPosition(1, 1, 1)
  return made
}

def restore(String model, String region, boolean show_uncertainty, Map settings) {
  def imp = WindowManager.getCurrentImage()
  if (imp == null) throw new IllegalStateException("InputError: there is no image open. Open the image to restore and click on it")
  if (imp.getBitDepth() == 24 || imp.getType() == ImagePlus.COLOR_256)
    throw new IllegalStateException("FileFormatError: " + imp.getTitle() + " is an image of colours, not of intensities.\nSplit it with Image > Color > Split Channels, or better, open the original file")
  if (imp.getBitDepth() == 16 && imp.getCalibration().isSigned16Bit())
    throw new IllegalStateException("FileFormatError: " + imp.getTitle() + " has signed 16-bit pixels. Choose Image > Type > 32-bit first")
  def roi = imp.getRoi()
  if (region == "selection" && roi == null) throw new IllegalStateException("InputError: " + imp.getTitle() + " has no selection. Draw one, or choose the whole image")
  if (region != "selection" && roi != null) IJ.log("CAREzoo: " + imp.getTitle() + ": the selection was ignored")
  def box = new java.awt.Rectangle(0, 0, imp.getWidth(), imp.getHeight())
  if (region == "selection") box = box.intersection(roi.getBounds())
  def letters = "TZCYX", counts = [imp.getNFrames(), imp.getNSlices(), imp.getNChannels(), box.height, box.width]
  def axes = (0..4).findAll { it > 2 || counts[it] > 1 }.collect { letters[it] }.join("")
  def array = share(imp, box)
  try {
    // Axes of length one are left out, so that the model sees the image as it is; one unit along Z tells how planes come closer.
    def described = [appose_type: "ndarray", dtype: array.dType().label(), shape: (0..4).findAll { it > 2 || counts[it] > 1 }.collect { counts[it] as int },
                     shm: [appose_type: "shm", name: array.shm().name(), rsize: array.shm().rsize()]]
    def inputs = [model: model, image: described, axes: axes, name: imp.getTitle(), pixel_size_um: axes.contains("Z") ? [Z: 1.0] : [:], options: settings]
    IJ.resetEscape()
    def outputs = ask("restore", inputs) { task, event ->
      if (event.message != null) IJ.showStatus(event.message + "; Escape stops")
      if (event.maximum > 0) IJ.showProgress((double) event.current / event.maximum)
      if (IJ.escapePressed()) task.cancel()
    }
    IJ.showProgress(1.0)
    if (outputs == null) { conclude("CANCELLED"); return }
    def run = outputs.report.provenance
    def stem = imp.getShortTitle()
    def shown = outputs.results.findAll { it.key == "mean" || show_uncertainty }.collect { name, result ->
      def isMean = name == "mean"
      def made = unshare(result, WindowManager.makeUniqueName(stem + "_" + (isMean ? "restored" : name)), imp, box, isMean, run.average as int)
      made.setProperty("Info", ((imp.getProperty("Info") ?: "") + "\nrestored with " + run.model + " " + run.version + "\ncarezoo: " + JsonOutput.toJson([carezoo: [result: name, run: run]])).trim())
      made
    }
    outputs.results.each { it.value.array.close() }
    shown.reverse().each { it.show() }
    outputs.report.warnings.each { IJ.log("CAREzoo: " + (it.startsWith(imp.getTitle() + ": ") ? "" : imp.getTitle() + ": ") + it) }
    conclude("OK restored " + imp.getTitle() + " with " + run.model + " " + run.version)
  } finally {
    array.close()
    if (worker().isAlive()) ask("release", [:])
  }
}

try {
  def settings = [@OPTIONS@]
  refuseUnknown(["model", "region", "show_uncertainty", @NAMES@])
  restore(model, region, show_uncertainty, settings)
} catch (Throwable error) {
  fail(error)
}
