//! Which script an interpreter runs, by its command line.
//!
//! The kernel knows `bash x.sh` as bash. The command line is what the process says of itself and is
//! cut after 128 bytes, so this is for stories, never for labels.

use std::ops::ControlFlow;

use super::actor::{Actor, lossy};

/// What an interpreter was told to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Script {
    /// A file, as it stands on the command line.
    File(String),
    /// A module: `python3 -m http.server`.
    Module(String),
    /// Code on the command line itself: `bash -c '…'`.
    Code,
}

/// How an interpreter reads its options.
struct Grammar {
    /// Program names without version numbers.
    names: &'static [&'static str],
    /// Letters: what follows is code.
    code: &'static str,
    /// Letters: what follows is a module.
    module: &'static str,
    /// Letters: what follows is an argument, in the same word or the next.
    argument: &'static str,
    /// Letters: an argument in the next word, though others may follow in this one.
    next: &'static str,
    /// Letters: the rest of the word belongs to it.
    rest: &'static str,
    /// Long options with an argument in the next word.
    long: &'static [&'static str],
    /// Long options: what follows is code.
    long_code: &'static [&'static str],
    /// Letters: the script is read from standard input.
    input: &'static str,
    /// `-` alone ends the options; elsewhere it stands for standard input.
    dash_ends: bool,
}

const NONE: Grammar = Grammar {
    names: &[],
    code: "",
    module: "",
    argument: "",
    next: "",
    rest: "",
    long: &[],
    long_code: &[],
    input: "",
    dash_ends: false,
};

const GRAMMARS: [Grammar; 7] = [
    Grammar {
        names: &["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "rbash"],
        code: "c",
        next: "oO",
        input: "s",
        long: &["--rcfile", "--init-file"],
        dash_ends: true,
        ..NONE
    },
    Grammar {
        names: &["python", "pypy"],
        code: "c",
        module: "m",
        argument: "WXQ",
        long: &["--check-hash-based-pycs"],
        ..NONE
    },
    Grammar { names: &["perl"], code: "eE", argument: "I", rest: ":CDFMimx", ..NONE },
    Grammar { names: &["ruby"], code: "e", argument: "ICEr", rest: "FKTWix", ..NONE },
    Grammar {
        names: &["node", "nodejs"],
        code: "ep",
        argument: "rC",
        long: &["--require", "--import", "--loader", "--experimental-loader", "--conditions"],
        long_code: &["--eval", "--print"],
        ..NONE
    },
    Grammar { names: &["php"], code: "rRBE", argument: "cdStz", ..NONE },
    Grammar { names: &["lua", "tclsh", "wish", "expect"], code: "ec", argument: "l", ..NONE },
];

impl Script {
    /// What a process runs; none where it is no interpreter, or reads its standard input.
    pub(crate) fn of(actor: &Actor) -> Option<Self> {
        let title = actor.title.strip_suffix(b"\0").unwrap_or(&actor.title);
        let mut words = title.split(|&byte| byte == 0).peekable();
        let mut program = program(words.next()?);
        if program == b"busybox" {
            program = self::program(words.next()?);
        }
        let name = lossy(program);
        let grammar = GRAMMARS.iter().find(|grammar| grammar.names.contains(&&*name))?;
        let found = grammar.read(&mut words)?;
        // The last word may have been longer.
        let cut = words.peek().is_none() && actor.is_title_cut();
        let text = |word: &[u8]| format!("{}{}", lossy(word), if cut { "…" } else { "" });
        match found {
            Found::Code => Some(Self::Code),
            Found::File(b"") | Found::Module(b"") => None,
            Found::File(word) => Some(Self::File(text(word))),
            Found::Module(word) => Some(Self::Module(text(word))),
        }
    }
}

enum Found<'a> {
    File(&'a [u8]),
    Module(&'a [u8]),
    Code,
}

impl Grammar {
    fn read<'a>(&self, words: &mut impl Iterator<Item = &'a [u8]>) -> Option<Found<'a>> {
        while let Some(word) = words.next() {
            match word {
                b"--" => return words.next().map(Found::File),
                b"-" => return if self.dash_ends { words.next().map(Found::File) } else { None },
                [b'-', b'-', ..] => {
                    let is = |list: &[&str]| list.iter().any(|long| long.as_bytes() == word);
                    if is(self.long_code) {
                        return Some(Found::Code);
                    }
                    if is(self.long) {
                        words.next();
                    }
                }
                [b'-', letters @ ..] => {
                    if let ControlFlow::Break(found) = self.letters(letters, words) {
                        return found;
                    }
                }
                [b'+', ..] if self.dash_ends => {}
                _ => return Some(Found::File(word)),
            }
        }
        None
    }

    /// The letters of one word; what they lead to, where they end the options.
    fn letters<'a>(
        &self,
        letters: &'a [u8],
        words: &mut impl Iterator<Item = &'a [u8]>,
    ) -> ControlFlow<Option<Found<'a>>> {
        let has = |list: &str, letter: u8| list.as_bytes().contains(&letter);
        for (at, &letter) in letters.iter().enumerate() {
            let rest = &letters[at + 1..];
            if has(self.code, letter) {
                return ControlFlow::Break(Some(Found::Code));
            }
            if has(self.input, letter) {
                return ControlFlow::Break(None);
            }
            if has(self.module, letter) {
                let module = if rest.is_empty() { words.next() } else { Some(rest) };
                return ControlFlow::Break(module.map(Found::Module));
            }
            if has(self.next, letter) {
                words.next();
            } else if has(self.argument, letter) {
                if rest.is_empty() {
                    words.next();
                }
                break;
            } else if has(self.rest, letter) {
                break;
            }
        }
        ControlFlow::Continue(())
    }
}

/// `/usr/bin/python3.11` and the login shell's `-bash` without path, dash and version.
fn program(word: &[u8]) -> &[u8] {
    let name = word.rsplit(|&byte| byte == b'/').next().unwrap_or(word);
    let name = name.strip_prefix(b"-").unwrap_or(name);
    let version = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    &name[..name.len() - name.iter().rev().take_while(|byte| version(byte)).count()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::testing::Random;

    fn script(words: &str) -> Option<Script> {
        let title = words.split(' ').collect::<Vec<_>>().join("\0").into_bytes();
        Script::of(&Actor { title, ..Actor::default() })
    }

    #[test]
    fn files() {
        for (words, file) in [
            ("sh kill_test.sh", "kill_test.sh"),
            ("bash kill_test.sh -9 7", "kill_test.sh"),
            ("/bin/bash ./killer.sh 12008", "./killer.sh"),
            ("-bash x.sh", "x.sh"),
            ("sh -x y", "y"),
            ("bash -euo pipefail y", "y"),
            ("bash -o pipefail -e +x -- y", "y"),
            ("bash --norc --rcfile r y", "y"),
            ("bash - y", "y"),
            ("busybox sh y", "y"),
            ("python3 z.py", "z.py"),
            ("/usr/bin/python3.11 -u -W ignore -Xdev z.py", "z.py"),
            ("python -Wignore -X dev z.py", "z.py"),
            ("perl -w -I lib -MFoo::Bar p.pl", "p.pl"),
            ("perl -Ilib -i.bak p.pl", "p.pl"),
            ("perl5.36.0 p.pl", "p.pl"),
            ("ruby -rjson -I lib r.rb", "r.rb"),
            ("node --max-old-space-size=9 --require x app.js", "app.js"),
            ("php -d x=1 -f f.php", "f.php"),
            ("php -q f.php", "f.php"),
        ] {
            assert_eq!(script(words), Some(Script::File(file.to_owned())), "{words}");
        }
    }

    #[test]
    fn modules_and_code() {
        for words in ["python3 -m http.server 80", "python3 -Bmhttp.server"] {
            assert_eq!(script(words), Some(Script::Module("http.server".to_owned())), "{words}");
        }
        for words in [
            "bash -c x",
            "bash -xec x y",
            "sh -lc x",
            "python3 -uc x",
            "perl -pi.bak -e x",
            "perl -ne x y",
            "perl -we x",
            "perl -0777 -lne x",
            "perl -d:NYTProf -e x",
            "ruby -e x",
            "node -e x",
            "node --eval x",
            "php -r x",
        ] {
            assert_eq!(script(words), Some(Script::Code), "{words}");
        }
    }

    #[test]
    fn none() {
        for words in [
            "",
            "bash",
            "-bash",
            "bash -i",
            "bash -s x",
            "python3 -",
            "python3",
            "java -jar x",
            "kill -9 7",
            "sshd: x [priv]",
        ] {
            assert_eq!(script(words), None, "{words}");
        }
    }

    #[test]
    fn a_name_that_was_cut_says_so() {
        let long = format!("bash /{}", "x".repeat(122));
        assert_eq!(script(&long), Some(Script::File(format!("/{}…", "x".repeat(122)))));
        let more = format!("bash x.sh {}", "y".repeat(118));
        assert_eq!(script(&more), Some(Script::File("x.sh".to_owned())));
    }

    #[test]
    fn any_title_is_survived() {
        let mut random = Random(3);
        for _ in 0..20_000 {
            let mut title = b"python3\0-W\0-cmeI\0--\0-\0x".to_vec();
            random.mutate(&mut title);
            random.mutate(&mut title);
            Script::of(&Actor { title, ..Actor::default() });
        }
    }
}
