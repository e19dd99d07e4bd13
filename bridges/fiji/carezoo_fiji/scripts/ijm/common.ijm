// Returns what carezoo says to a request; ends with its error, if it says one. exec() takes words one by one.
function ask(words) {
  w = newArray("", "", "", "", "", "");
  for (k = 0; k < words.length; k++) w[k] = words[k];
  answer = exec(python, "-m", "carezoo_fiji.macros", w[0], w[1], w[2], w[3], w[4], w[5]);
  answer = replace(answer, "\r", "");
  end = lastIndexOf(answer, "CAREZOO ");
  if (end < 0) fail("PythonError", "carezoo did not answer. The Python it was installed with may have moved (" + python + "). Run carezoo fiji install again");
  verdict = String.trim(substring(answer, end));
  if (startsWith(verdict, "CAREZOO ERROR ")) {
    told = substring(verdict, 14);
    colon = indexOf(told, ": ");
    fail(substring(told, 0, colon), substring(told, colon + 2));
  }
  return substring(answer, 0, end);
}

function cleanUp() {
  if (folder != "" && File.exists(folder)) {
    files = getFileList(folder);
    for (k = 0; k < files.length; k++) ok = File.delete(folder + files[k]);
    ok = File.delete(folder);
  }
}

function conclude(verdict) {
  old = call("java.lang.System.setProperty", "carezoo.verdict", verdict);
  showStatus("CAREzoo: " + verdict);
}

function fail(kind, text) {
  cleanUp();
  conclude("ERROR " + kind + ": " + text);
  if (options == "null" || options == "") exit("CAREzoo\n \n" + text);
  print("CAREZOO ERROR " + kind + ": " + text);
  exit();
}
