// Returns what carezoo says to a short question; ends with its error, if it says one. exec() takes words one by one.
function ask(words) {
  answer = python_(newArray("carezoo_fiji.macros"), words);
  said = checked(answer);
  return said;
}

// The same for what takes its time: another process works, this one waits, shows progress, and can be stopped by Escape.
function askAndWait(words) {
  if (folder == "") folder = temporaryFolder();
  started = python_(newArray("carezoo_fiji.background", "start", folder), words);
  conclude("CANCELLED"); // what is true when Escape ends this macro, which nothing announces
  silent = 0;
  last = "";
  while (!File.exists(folder + "answer")) {
    File.saveString("", folder + "alive");
    wait(100);
    silent++;
    if (File.exists(folder + "progress")) {
      now = File.lastModified(folder + "progress");
      if (now != last) silent = 0;
      last = now;
      showProgress(parseFloat(File.openAsString(folder + "progress")));
    }
    if (silent > 600) fail("PythonError", "carezoo does not answer any more: its process has ended, or hangs. Try again; carezoo doctor says what may be wrong");
  }
  showProgress(1);
  answer = File.openAsString(folder + "answer");
  ok = File.delete(folder + "answer");
  said = checked(answer);
  return said;
}

function python_(program, words) {
  w = newArray("", "", "", "", "", "", "", "", "", "");
  for (k = 0; k < program.length; k++) w[k] = program[k];
  for (k = 0; k < words.length; k++) w[program.length + k] = words[k];
  answer = exec(python, "-m", w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9]);
  return answer;
}

function temporaryFolder() {
  made = getDirectory("temp") + "carezoo-" + d2s(getTime(), 0) + "-" + d2s(random() * 1e6, 0) + File.separator;
  File.makeDirectory(made);
  if (!File.exists(made)) fail("InputError", "cannot write to the folder for temporary files, " + made);
  return made;
}

function checked(answer) {
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
    // What a process left that died has a hidden name, which macros do not see.
    if (File.exists(folder)) said = exec(python, "-m", "carezoo_fiji.background", "remove", folder);
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
