"""The twenty questions of docs/questions.md: their SQL, and shell scripts that answer them from git repositories."""

from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

PAGE = Path(__file__).parents[2] / "docs" / "questions.md"
EXAMPLE = "https://example.org/calc.git"
"""The repository that some questions name."""

_QUESTION = re.compile(r"^### (\d+)\. (.*?)\n.*?^```sql\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Question(NamedTuple):
    """A question in words and in Spark's SQL."""

    number: int
    title: str
    sql: str


def questions(url: str) -> list[Question]:
    """All of them, about a repository where they name one."""
    found = _QUESTION.findall(PAGE.read_text())
    return [Question(int(number), title, sql.replace(EXAMPLE, url)) for number, title, sql in found]


BY_GIT = MappingProxyType(
    {
        1: r"""for r; do git -C "$r" ls-tree -rl HEAD | awk '{files++; bytes += $4} END {print files, bytes}'; done""",
        3: r"""for r; do git -C "$r" for-each-ref --format='%(refname) %(taggerdate:iso)' refs/tags; done""",
        6: r"""for r; do git -C "$r" log --all --format='%H %ae'; done | sort -u |
            cut -d' ' -f2 | sort | uniq -c | sort -rn | sed -n 1,10p""",
        7: r"""for r; do git -C "$r" log --all --date=format:%Y --format='%H %ad %ae'; done | sort -u |
            awk '{n[$2]++; if (!seen[$2 $3]++) people[$2]++} END {for (y in n) print y, people[y], n[y]}' | sort""",
        8: r"""for r; do git -C "$r" log --all --date=format:%H --format='%H %ad'; done | sort -u |
            cut -d' ' -f2 | sort | uniq -c""",
        9: r"""for r; do git -C "$r" log --all --format='%H %ae %ce'; done | sort -u |
            awk '$2 != $3 {print $3}' | sort | uniq -c | sort -rn""",
        10: r"""for r; do
            git -C "$r" rev-list --all --count; git -C "$r" rev-list --all --merges --count
            git -C "$r" rev-list --all | git -C "$r" cat-file --batch | { grep -ac '^gpgsig ' || true; }
            done""",
        11: r"""for r; do git -C "$r" log --all -i -E --grep='\b(fix|bug|mend)' --format='%s %H'; done | sort -u""",
        12: r"""for r; do git -C "$r" log -1 --format='%D %cI %s' HEAD; done""",
        13: r"""git -C "$1" ls-tree -r HEAD""",
        14: r"""for r; do git -C "$r" grep -c '' HEAD; done |
            awk -F: '{ext = $2; sub(/.*[.]/, "", ext); files[ext]++; lines[ext] += $3}
                END {for (ext in files) print ext, files[ext], lines[ext]}' | sort -rnk3""",
        15: r"""for r; do git -C "$r" ls-tree -r --name-only HEAD | sed 's,.*/,,' | sort -u; done |
            sort | uniq -c | sort -rn | sed -n 1,5p""",
        16: r"""for r; do git -C "$r" ls-tree -rl HEAD; done | sort -rnk4 | sed -n 1,3p""",
        17: r"""for r; do git -C "$r" ls-tree -r HEAD | cut -d' ' -f3 | cut -f1 | sort -u; done | sort | uniq -d""",
        18: r"""for r; do git -C "$r" ls-tree -r HEAD; done | cut -d' ' -f1 | sort | uniq -c""",
        19: r"""for r; do git -C "$r" grep -laF TODO HEAD || true; done""",
        20: r"""for r; do
            git -C "$r" rev-list --objects --all |
                git -C "$r" cat-file --batch-check='%(objecttype) %(objectname) %(rest)' |
                awk '$1 == "blob" {sub(/.*\//, "", $3); print $2, $3}' | sort > names
            cut -d' ' -f1 names | { xargs git -C "$r" grep -laF TODO || true; } | sort | join - names
            done | cut -d' ' -f2 | sort | uniq -c""",
    }
)
"""Bash that asks the repositories which are its arguments; nothing where only an archive knows the answer."""

IN_FILES = MappingProxyType(
    {
        1: r"""find "$@" -name .git -prune -o -type f -printf '%s\n' |
            awk '{files++; bytes += $1} END {print files, bytes}'""",
        13: r"""find "$1" -name .git -prune -o -type f -print | sort""",
        14: r"""find "$@" -name .git -prune -o -type f -print0 | xargs -0 wc -l |
            awk '{ext = $2; sub(/.*[.]/, "", ext); files[ext]++; lines[ext] += $1}
                END {for (ext in files) print ext, files[ext], lines[ext]}' | sort -rnk3""",
        15: r"""for r; do find "$r" -name .git -prune -o -type f -printf '%f\n' | sort -u; done |
            sort | uniq -c | sort -rn | sed -n 1,5p""",
        16: r"""find "$@" -name .git -prune -o -type f -printf '%s %p\n' | sort -rn | sed -n 1,3p""",
        17: r"""for r; do find "$r" -name .git -prune -o -type f -exec sha1sum {} + | cut -d' ' -f1 | sort -u; done |
            sort | uniq -d""",
        18: r"""find "$@" -name .git -prune -o -type l -print""",
        19: r"""grep -rlaF --exclude-dir=.git TODO "$@" || true""",
    }
)
"""Bash for what the files of clones tell; their arguments are the clones. The rest is asked as above."""
