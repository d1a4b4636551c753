"""Completion in bash, zsh and fish, loaded as a shell of the system loads it."""
from debian import CONFIG, SHELLS, SOCKET, Debian, until

BASH = """
. /usr/share/bash-completion/bash_completion
_completion_loader hookboxctl
COMP_WORDS=(hookboxctl source show "$1") COMP_CWORD=3 COMP_LINE="hookboxctl source show $1" COMP_POINT=${#COMP_LINE}
COMP_TYPE=9
"$(complete -p hookboxctl | sed 's/.*-F \\([^ ]*\\).*/\\1/')" hookboxctl "$1" show
printf '%s\\n' "${COMPREPLY[@]}"
"""
# Typed into a terminal: what the word becomes is run, and shows itself.
ZSH = """
zmodload zsh/zpty
zpty shell 'TERM=dumb zsh -f -i'
zpty -w shell 'PS1=; autoload -Uz compinit; compinit -u -D; echo rea""dy'
zpty -r shell seen '*ready*'
zpty -w -n shell $'hookboxctl --json source show gith\\t\\n'
seen=
for n in {1..600}; do
    while zpty -r -t shell part; do seen+=$part; done
    [[ $seen == *'"name"'*'}'* || $seen == *'no source'* ]] && break
    sleep 0.1
done
print -r -- "$seen"
zpty -d shell
"""


def names(offered):
    """Of what a shell offers, what is not an option: fish shows it in lines, with a text behind it."""
    words = [line.split("\t")[0].strip() for line in offered.splitlines()]
    return sorted(word for word in words if word and not word.startswith("-"))


def names_are_completed(package, _):
    with Debian(SHELLS) as debian:
        debian.dpkg("-i", package)
        debian.make_folders()
        nobody = debian.do("fish", "-c", "complete -C 'hookboxctl source show '", HOME="/tmp")
        assert names(nobody.stdout) == [] and nobody.stderr == "", nobody

        debian.start("hookboxd", "--config", CONFIG, "--listen", "127.0.0.1:0")
        until("the daemon", debian.serves)
        for name in ("github", "gitlab", "stripe"):
            debian.ctl("source", "create", name, "--verify", "none")

        fish = debian.do("fish", "-c", "complete -C 'hookboxctl source show '", HOME="/tmp").stdout
        assert names(fish) == ["github", "gitlab", "stripe"], fish
        bash = debian.do("bash", "-c", BASH, "bash", "git").stdout
        assert names(bash) == ["github", "gitlab"], bash
        zsh = debian.do("zsh", "-f", "-c", ZSH, HOME="/tmp").stdout
        assert '"name":"github"' in zsh, zsh

        commands = debian.do("fish", "-c", "complete -C 'hookboxctl en'", HOME="/tmp").stdout
        assert commands.startswith("endpoint"), commands
        print("bash, zsh and fish complete the names of sources")


TESTS = [names_are_completed]
