"""Prints nested.h for Doxygen: the header is written to be read as it is, and this adds what Doxygen wants to be told.

- The first comment becomes the main page, its rules a list.
- Banners ("3. Handles, blobs, views") become groups.
- A comment stands for all declarations up to the next empty line, as a reader takes it, and for all names on its line.
- struct_size and reserved, which R8 explains once, get their words.
"""

import re
import sys

COMMENT = r"/\*\*(?!<)(?:(?!\*/).)*\*/\n"  # before what it describes
TRAILING = r"(?:[ \t]*/\*\*<(?:(?!\*/).)*\*/)"  # behind it


def main_page(text):
    """The first comment, without its frame of dashes, R1 to R12 as a list."""
    title, *lines = (re.sub(r"^ \* ?", "", line) for line in text.splitlines()[1:-1])
    rest = "\n".join(line for line in lines if not re.match(r"-{10,}$", line))
    rest = re.sub(r"^(R\d+) +", r"- <b>\1</b> ", rest, flags=re.M)
    rest = re.sub(r"^RULES THAT HOLD FOR EVERY FUNCTION$", r"@par Rules that hold for every function\n", rest, flags=re.M)
    rest = re.sub(r"^(In one minute|Versions): ", r"@par \1\n\n", rest, flags=re.M)
    return f"/** @mainpage {title}\n{rest}\n*/\n/** @file\n{title} */"


def groups(text):
    """Banners with what follows as groups; the text below a banner's title describes its group."""
    banner = re.compile(r"/\* =+ \*\n \*  (\d+)\. (.*?) *\n((?: \*.*\n)*?) \* =+ \*/\n")
    head, *parts = banner.split(text)
    result = [head]
    for number, title, more, code in zip(*(parts[i::4] for i in range(4))):
        code, _, tail = code.partition("#ifdef __cplusplus\n}")  # of extern "C", behind the last group
        more = re.sub(r"^ \* ?", "", more, flags=re.M)
        result.append(f"/** @defgroup g{number} {number}. {title}\n{more}@{{ */\n{code}\n/** @}} */\n")
        result.append(tail and "#ifdef __cplusplus\n}" + tail)
    return "".join(result)


def shared_comment(block):
    """Gives the comment at the head of a block to each declaration or macro in it that has none of its own."""
    found = re.match(rf"\n*({COMMENT})", block, re.S)
    if not found or "typedef struct" in block and "{" in block or "@" in found.group(1):
        return block
    comment, code = found.group(1), block[found.end():]
    declaration = rf"(?:{TRAILING}|[^;/]|/(?!\*))+;{TRAILING}*"
    pieces = re.findall(rf"(?:{COMMENT})?(?:#define (?:[^\n]*\\\n)*[^\n]*|{declaration})\n?", code, re.S)
    if "".join(pieces).strip() != code.strip():
        return block
    return "".join(piece if re.match(COMMENT, piece, re.S) or re.search(r";[ \t]*/\*\*<", piece) else comment + piece
                   for piece in pieces)


def fields(block):
    """In structs: one name a line, each with its comment."""
    words = {"struct_size": "sizeof the struct: NESTED_INIT(), R8", "reserved": "0"}

    def one(match):
        indent, type_, names, comment = match.groups()
        return "".join(f"{indent}{type_} {name}; {comment or ('/**< ' + words[name] + ' */' if name in words else '')}\n"
                       for name in re.split(r",\s*", names))
    return re.sub(rf"^( +)((?:const )?\w+)\s+([\w*\[\], ]+);({TRAILING}*)\n", one, block, flags=re.M)


def main():
    with open(sys.argv[1], encoding="utf-8") as header:
        text = header.read()
    first = re.match(r"/\*\n.*?\*/", text, re.S).group()
    blocks = [shared_comment(block) for block in groups(text[len(first):]).split("\n\n")]
    blocks = [fields(block) if "typedef struct" in block else block for block in blocks]
    # A star before a word would be emphasis.
    rest = re.sub(r"/\*\*.*?\*/", lambda m: re.sub(r"(?<=[ (])\*(?=\w)", r"\\*", m.group()), "\n\n".join(blocks), flags=re.S)
    print(main_page(first) + rest)


main()
