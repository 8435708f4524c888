"""Writes the man page: commands, options and examples as `nested-cli --help` has them, the rest as it stands below.

    python3 manual.py build/bin/nested-cli > Sources/nested-cli/nested-cli.1
"""

import json
import re
import subprocess
import sys

HEAD = r"""
.TH NESTED\-CLI 1 "" "libnested" "User Commands"
.nh
.SH NAME
nested\-cli \- train and run models that go on learning
.SH SYNOPSIS
.B nested\-cli
.I command
.RI [ options ]
.br
.B nested\-cli help
.RI [ command ]
.SH DESCRIPTION
Models read bytes (a vocabulary of 256). A
.B model
is a file of weights. A
.B trainer
is what training needs besides, to go on where it stopped. A
.B session
is one stream of a model: it learns from what it reads, and the model stays as it is. A
.B delta
is what the levels of a session have learnt, alone. All are safetensors files, replaced as a whole or not at all.
.PP
Wherever a text is read, \- is standard input. Results go to standard output, progress and errors to standard error; the
progress line is drawn on a terminal only.
"""

TAIL = r"""
.SH FILES
.TP
.IR NAME .safetensors
A model, a session or a delta: what was named.
.TP
.IR NAME .trainer.safetensors
The trainer that
.B train
writes beside the model
.IR NAME .safetensors;
.B train \-\-resume
needs both.
.TP
.IR NAME .new
Part of a checkpoint that was interrupted.
.B train \-\-resume
uses or removes it.
.TP
.I .nested\-*.tmp
Left by a program that was killed while it wrote; may be deleted.
.SH JSON
With
.B \-\-json
each line of standard output is one document. A number that is not known is null. Keys are only ever added.
.TP
.B train
"event": "step" or "saved"; "model", "step", "steps", "loss" (nats per byte, mean since the line before; in "saved", of the
whole run), "bits_per_byte", "tokens_per_second", "skipped_steps" (gradients that were not finite).
.TP
.B learn
"event": "read" or "saved"; "session", "learn", "position" (bytes read in all), "bytes" (since the line before; in "saved", by
this command), "bits_per_byte", "tokens_per_second", "updates", "skipped_updates" (of the levels, in the session's life).
.TP
.B generate
"text", "bytes" (numbers), "finish": "length", "stop" or "signal", "bits_per_byte", "tokens_per_second".
.TP
.B score
For each file, then for all of several: "file" (null: all), "bytes", "predicted" (bytes that count), "nats" (their sum),
"bits_per_byte", "perplexity" (of a byte).
.TP
.B consolidate
"event": "saved", "model", "sessions".
.TP
.BR import ", " stack
"event": "saved", "model", "from", "parameters", "vocab", "n_levels".
.TP
.B info
For each file: "file", "content" ("model", "trainer", "session", "delta"), "version" (of the format), "bytes", "fingerprint" (of the
configuration). Model: "kind", "parameters", "tensors", "vocab", "d_model", "n_layers", "n_levels", "config". Trainer: "steps", "options".
Session: "position", "learn", "seed"; session and delta with
.BR \-\-model :
"updates", "skipped_updates" and "levels", a list with "layer", "level", "chunk", "updates", "lr", "weight_norm",
"delta_norm". Without a file: what nested_build_info() says.
.TP
.B bench
For each kind of work: "work" ("train", "read", "learn", "generate"), "tokens_per_second" (median), "lowest", "highest", "rounds".
.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 64
Wrong usage: an option that is not known or does not go with the others.
.TP
.B 65
A file or configuration is not what it should be: damaged, of another model, invalid.
.TP
.B 66
An input is not there or may not be read.
.TP
.B 70
A bug in libnested.
.TP
.B 71
Not enough memory.
.TP
.B 73
An output may not be written, or is there already.
.TP
.B 74
Reading or writing failed on the way.
.TP
.BR 130 ", " 143 ", " 129 ", " 141
Ended by SIGINT (Ctrl\-C), SIGTERM, SIGHUP, or because nobody reads standard output any more.
.SH SIGNALS
SIGINT, SIGTERM and SIGHUP let the step or piece at hand finish;
.B train
and
.B learn
save, and so does
.B generate
with
.BR \-\-save .
A second one ends the program at once; files are then as they were saved last.
.SH SHELL COMPLETION
.B nested\-cli \-\-generate\-completion\-script
.RI [ bash | zsh | fish ]
writes the script;
.B make install
installs all three.
.SH SEE ALSO
The manual of the library is its header,
.IR nested.h .
"""


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.M)


def names(argument):
    """-o, --output <output>"""
    if argument["kind"] == "positional":
        value = f"<{argument['valueName']}>" + (" ..." if argument["isRepeating"] else "")
        return f"[{value}]" if argument["isOptional"] else value
    ordered = sorted(argument["names"], key=lambda name: name["kind"] == "long")
    text = ", ".join(("--" if name["kind"] == "long" else "-") + name["name"] for name in ordered)
    return text + ("" if argument["kind"] == "flag" else f" <{argument['valueName']}>")


def help_text(argument):
    text = argument.get("abstract", "")
    if argument.get("allValues"):
        text += f" (values: {', '.join(argument['allValues'])})"
    default = argument.get("defaultValue")
    return f"{text} (default: {default})" if default and argument["kind"] != "flag" else text


def section(command):
    lines = [f".SS {escape(command['commandName'])}", escape(command["abstract"])]
    prose, _, examples = command.get("discussion", "").partition("EXAMPLES:\n")
    if prose.strip():
        lines += [".PP", escape(prose.strip())]
    for argument in command["arguments"]:
        if argument["shouldDisplay"] and argument["valueName"] not in ("help", "version"):
            lines += [".TP", f".B {escape(names(argument))}", escape(help_text(argument))]
    if examples:
        lines += [".PP", "Examples:", ".PP", ".nf", escape(examples.rstrip()), ".fi"]
    return lines


def manual(program):
    tool = json.loads(subprocess.check_output([program, "--experimental-dump-help"]))["command"]
    lines = [HEAD.strip(), ".SH COMMANDS"]
    for command in tool["subcommands"]:
        if command["commandName"] != "help":
            lines += section(command)
    lines += [
        ".PP", "Every command has", r".BR \-\-help ;", r".B \-\-version", "shows the version of the library.", TAIL.strip()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(manual(sys.argv[1]))
