use crate::unknown_lines::Shapes;
use proptest::prelude::*;
use regex::bytes::RegexBuilder;
use serde::Deserialize;

/// As strict as the catalogue.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stub {
    id: String,
    title: String,
    #[serde(default)]
    programs: Vec<String>,
    pattern: String,
    severity: String,
    verdict: String,
    samples: Samples,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Samples {
    r#match: Vec<String>,
}

/// Every shape's stub is good, and each message is found by the stub of one.
fn check(program: Option<&[u8]>, messages: &[Vec<u8>]) {
    let mut shapes = Shapes::new(messages.len().max(1));
    for message in messages {
        shapes.add(program, message, message, None, 1);
    }
    let mut patterns = Vec::new();
    for shape in shapes.top(usize::MAX) {
        let yaml = shape.stub();
        let [stub]: [Stub; 1] = serde_saphyr::from_str::<Vec<Stub>>(&yaml)
            .unwrap_or_else(|error| panic!("{error}: {yaml}"))
            .try_into()
            .unwrap_or_else(|_| panic!("one item: {yaml}"));
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        assert!((1..=64).contains(&stub.id.len()) && stub.id.bytes().all(letters), "{yaml}");
        assert!(stub.title.starts_with("TODO"));
        assert_eq!((&*stub.severity, &*stub.verdict), ("info", "watch"));
        assert!(stub.programs.iter().all(|own| Some(own.as_bytes()) == program), "{yaml}");
        let regex = RegexBuilder::new(&stub.pattern).unicode(false).build().unwrap();
        assert!(regex.is_match(stub.samples.r#match[0].as_bytes()), "{yaml}");
        assert!(!regex.is_match(b"") && stub.pattern.starts_with('^'), "{yaml}");
        let plain = shape.text.replace(" …", "");
        let wide = stub.pattern.contains(r"\s");
        let longest = plain.split("<*>").flat_map(|part| part.split(|c| wide && c == ' '));
        let telling = longest.map(str::len).max().unwrap_or(0) >= 5;
        assert_eq!(yaml.contains("# No fixed part"), !telling, "{yaml}");
        patterns.push(regex);
    }
    for message in messages {
        let shown = message.iter().any(|byte| !byte.is_ascii_whitespace() && *byte != 0x0B);
        let found = patterns.iter().any(|regex| regex.is_match(message));
        assert!(found || !shown, "{:?}", String::from_utf8_lossy(message));
    }
}

#[test]
fn a_stub_reads_as_people_write_them() {
    let mut shapes = Shapes::default();
    for user in ["ann", "bob"] {
        let message = format!("can't fork for {user} (pid 7): it's 'full now'");
        let line = format!("Nov 20 05:08:30 web04 my-app[7]: {message}");
        shapes.add(Some(b"my-app"), message.as_bytes(), line.as_bytes(), None, 1);
    }
    let expected = r"- id: my-app-can-t-fork-for-pid-it
  title: 'TODO: what it means'
  programs: ['my-app']
  pattern: '^can''t fork for \S+ \(pid \d+\): it''s ''.+''$'
  severity: info
  verdict: watch
  samples:
    match:
      - 'Nov 20 05:08:30 web04 my-app[7]: can''t fork for ann (pid 7): it''s ''full now'''
";
    assert_eq!(shapes.top(1)[0].stub(), expected);
}

#[test]
fn names_of_programs_are_quoted_or_left_out() {
    let of = |program: &[u8]| {
        let mut shapes = Shapes::default();
        shapes.add(Some(program), b"some words", b"some words", None, 1);
        shapes.top(1)[0].stub()
    };
    assert!(of(b"it's: #1").contains("programs: ['it''s: #1']"));
    assert!(!of(b"a\xff").contains("programs"));
    assert!(!of(&[b'p'; 100]).contains("programs"));
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let words = prop_oneof![
        "[ -~]{0,90}".prop_map(String::into_bytes),
        "(a|b|to|key=|7|0x1f|'x y'|\"|[.:,'=()-]|é|\t| ){0,12}( [a-c]{1,2}[.:]?){0,5}"
            .prop_map(String::into_bytes),
        "error (one|two) of (a|b|c)\\.(d|e): '[a-c ]{0,3}' [0-9a-z]{1,3}"
            .prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..60),
        ".{0,60}".prop_map(String::into_bytes),
        "([a-z]{1,9}[ =]){60,90}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 380..600),
    ];
    // Lines have no line feed.
    words.prop_map(|mut bytes| {
        bytes.retain(|&byte| byte != b'\n');
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn every_stub_is_a_signature(
        program in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..80)),
        messages in proptest::collection::vec(message(), 1..12),
    ) {
        check(program.as_deref(), &messages);
    }
}
