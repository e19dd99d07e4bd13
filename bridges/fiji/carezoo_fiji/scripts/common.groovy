import groovy.json.JsonOutput
import ij.IJ
import ij.Macro
import org.apposed.appose.Service

// One worker for the whole session of Fiji, with its model loaded; started when it is first needed.
synchronized worker() {
  def properties = System.getProperties()
  def kept = properties.get("carezoo.host.worker")
  if (kept != null && kept.isAlive()) return kept
  def python = "@PYTHON@"
  if (!new File(python).isFile())
    throw new IllegalStateException("PythonError: " + python + " is gone. Run carezoo fiji install again, from where carezoo is now")
  def started = new Service(new File(System.getProperty("user.home")), python, "-m", "carezoo.host.worker")
  properties.put("carezoo.host.worker", started)
  addShutdownHook { if (started.isAlive()) started.close() }
  return started
}

// Returns the outputs of one verb; an error is thrown as "TYPE: MESSAGE", a line with the hint below.
def ask(String verb, Map inputs, Closure listener = null) {
  def task = worker().task(verb, inputs)
  if (listener != null) task.listen { event -> listener(task, event) }
  try {
    task.waitFor()
  } catch (Exception error) {
    if (task.status.toString() == "CANCELED") return null
    throw new IllegalStateException(task.error ?: "WorkerError: the worker has ended (" + error.message + "). Try again; it will be started anew")
  }
  return task.outputs
}

// Fiji ignores what a macro misspells.
def refuseUnknown(List known) {
  def given = (Macro.getOptions() ?: "").findAll(/(\w+)(?:=(?:\[[^\]]*\]|\S*))?/) { all, name -> name }
  def unknown = given.findAll { !known.contains(it) }
  if (unknown) throw new IllegalStateException("InputError: unknown option " + unknown.join(", ") + "; there are " + known.join(", "))
}

def conclude(String verdict) {
  System.setProperty("carezoo.verdict", verdict)
  IJ.showStatus("CAREzoo: " + verdict)
}

// One dialog where somebody can see it, else one line in the log.
def fail(Throwable error) {
  def text = error.message ?: error.toString()
  conclude("ERROR " + text.readLines().join(" "))
  if (java.awt.GraphicsEnvironment.isHeadless() || IJ.macroRunning()) IJ.log("CAREZOO ERROR " + text.readLines().join(" "))
  else IJ.error("CAREzoo", text)
}
