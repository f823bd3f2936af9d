use std::collections::HashMap;

use super::*;
use proptest::prelude::*;

fn add(shapes: &mut Shapes, program: &str, message: &str) {
    let line = format!("Nov 20 05:08:30 web04 {program}: {message}");
    shapes.add(Some(program.as_bytes()), message.as_bytes(), line.as_bytes(), None, 1);
}

/// The shapes of the lines, the most frequent first.
fn shapes_of(program: &str, messages: &[&str]) -> Vec<(u64, String)> {
    let mut shapes = Shapes::default();
    for message in messages {
        add(&mut shapes, program, message);
    }
    shapes.top(10).into_iter().map(|shape| (shape.count, shape.text)).collect()
}

#[test]
fn lines_that_differ_in_a_word_are_one_shape() {
    for (program, messages, expected) in [
        (
            "sshd",
            &[
                "Accepted publickey for ann from 127.0.0.1 port 52834 ssh2: RSA SHA256:abc",
                "Accepted publickey for bob from fe80::1 port 7 ssh2: RSA SHA256:xyz",
            ][..],
            &[(2, "Accepted publickey for <*> from <*> port <*> ssh2: RSA SHA256:<*>")][..],
        ),
        (
            "systemd",
            &[
                "run-user-1500.mount: Deactivated successfully.",
                "cron.service: Deactivated successfully.",
                "e2scrub_reap.service: Deactivated successfully.",
            ],
            &[(3, "<*>: Deactivated successfully.")],
        ),
        (
            "su",
            &[
                "pam_unix(su:session): session closed for user ann",
                "pam_unix(su-l:session): session closed for user ann",
            ],
            &[(2, "pam_unix(<*>:session): session closed for user ann")],
        ),
        // Another key is another thing.
        (
            "kernel",
            &[
                "audit: type=1327 audit(1795150347.977:3): proctitle=2E2F",
                "audit: type=1307 audit(1795150347.977:4): cwd=7",
                "audit: type=1307 audit(1795150347.978:5): cwd=/",
            ],
            &[
                (2, "audit: type=<*> audit(<*>): cwd=<*>"),
                (1, "audit: type=<*> audit(<*>): proctitle=<*>"),
            ],
        ),
        (
            "cron",
            &["(CRON) error (can't fork)", "(CRON) INFO (pidfile fd = 3)"],
            &[(1, "(CRON) INFO (pidfile fd = <*>)"), (1, "(CRON) error (can't fork)")],
        ),
    ] {
        let expected: Vec<_> =
            expected.iter().map(|&(count, text)| (count, text.to_owned())).collect();
        assert_eq!(shapes_of(program, messages), expected);
    }
}

#[test]
fn programs_weights_and_levels_count() {
    let mut shapes = Shapes::default();
    shapes.add(Some(b"a"), b"some words", b"some words", Some(6), 10);
    shapes.add(Some(b"a"), b"some words", b"other", Some(3), 1);
    shapes.add(None, b"some words", b"some words", None, 5);
    shapes.add(None, b"  ", b"  ", None, 5);
    let top = shapes.top(9);
    let short = |shape: &Shape| (shape.program.clone(), shape.count, shape.over, shape.level);
    let expected = [(Some("a".to_owned()), 11, 0, Some(3)), (None, 5, 0, None)];
    assert_eq!(top.iter().map(short).collect::<Vec<_>>(), expected);
    assert_eq!(top[0].example, "some words");
}

#[test]
fn an_example_is_one_line_of_text() {
    let of = |message: &[u8], line: &[u8]| {
        let mut shapes = Shapes::default();
        shapes.add(None, message, line, None, 1);
        shapes.top(1).remove(0).example
    };
    let line = b"a\xff b\0\tc\x1b[0m \xe2\x80\xae d\xc3\xa9";
    assert_eq!(of(line, line), "a\\xff b\\u{0} c\\u{1b}[0m \\u{202e} d\u{e9}");
    let long = [&b"header: "[..], &[b'x'; 1_000]].concat();
    assert_eq!(of(&long[8..], &long).len(), MAX_EXAMPLE);
    let header = [&[b'h'; 300][..], b": ", &[b'x'; 300]].concat();
    assert_eq!(of(&header[302..], &header), "x".repeat(300), "the message is what counts");
}

#[test]
fn several_streams_are_one_table() {
    let (mut one, mut two) = (Shapes::default(), Shapes::default());
    add(&mut one, "a", "took 7 seconds");
    add(&mut two, "a", "took 7s seconds");
    add(&mut two, "a", "took 9 seconds");
    add(&mut two, "b", "something else");
    let top = top_of(&[&one, &two], 10);
    let short: Vec<_> = top.iter().map(|shape| (shape.count, &*shape.text)).collect();
    assert_eq!(short, [(3, "took <*> seconds"), (1, "something else")]);
    assert!(top[0].stub().contains(r"'^took \S+ seconds$'"), "{}", top[0].stub());
    assert_eq!(top_of(&[&one, &two], 1).len(), 1);
    assert_eq!(top_of(&[], 1), []);
}

/// Numbers from a seed, so that a failure comes again.
fn numbers(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// A word of letters for a number.
fn word(mut number: u64) -> String {
    let mut word = String::new();
    for _ in 0..6 {
        word.push(char::from(b'g' + u8::try_from(number % 20).unwrap()));
        number /= 20;
    }
    word
}

#[test]
fn random_lines_take_neither_memory_nor_the_place_of_frequent_ones() {
    let mut next = numbers(7);
    let mut shapes = Shapes::default();
    let frequent = 400;
    for round in 0..60_000_u64 {
        // One in thirty lines is of a shape of its own.
        if round % 30 == 0 {
            let n = round / 30 % 5;
            add(&mut shapes, &word(n), &format!("{} is full for user {}", word(n), word(round)));
        }
        let length = 1 + next() % 200;
        let long: Vec<u8> = (0..length * 3)
            .flat_map(|_| [b'g' + (next() >> 60) as u8, [b' ', b'x'][(next() >> 62) as usize & 1]])
            .collect();
        let program = word(next()).repeat(20);
        shapes.add(Some(program.as_bytes()), &long, &long, None, 1);
    }
    assert_eq!(shapes.entries.len(), DEFAULT_SHAPES);
    assert!(shapes.bytes() < 2 << 20, "{}", shapes.bytes());
    let top = shapes.top(5);
    for shape in top {
        assert!(shape.text.ends_with("is full for user <*>"), "{}", shape.text);
        assert!(shape.count - shape.over <= frequent && frequent <= shape.count, "{shape:?}");
    }
}

#[test]
fn a_crowded_leaf_stays_bounded() {
    let (mut next, mut shapes) = (numbers(9), Shapes::default());
    for _ in 0..3_000 {
        let words: Vec<_> = (0..8).map(|_| word(next())).collect();
        add(&mut shapes, "app", &format!("same {}", words.join(" ")));
    }
    assert_eq!(shapes.entries.len(), tree::LEAF);
    assert_eq!(shapes.counts.iter().sum::<u64>(), 3_000);
}

proptest! {
    /// As Space-Saving promises, with few places, for shapes in many leaves and in one.
    #[test]
    fn counts_are_right_within_their_error(
        max in 1usize..12,
        lines in proptest::collection::vec((0u64..30, 1u64..9), 1..300),
        one_leaf in any::<bool>(),
    ) {
        let (mut shapes, mut exact) = (Shapes::new(max), HashMap::new());
        let mut total = 0;
        for (n, weight) in lines {
            // Words that are far enough apart not to become one shape.
            let name = word(n * 1_234_567);
            let message = if one_leaf {
                format!("same {name} {name}x {name}y")
            } else {
                format!("{name} is here")
            };
            shapes.add(None, message.as_bytes(), message.as_bytes(), None, weight);
            *exact.entry(message).or_insert(0) += weight;
            total += weight;
        }
        let top = shapes.top(usize::MAX);
        prop_assert!(top.len() <= max);
        prop_assert!(top.is_sorted_by(|one, other| one.count >= other.count));
        prop_assert_eq!(top.iter().map(|shape| shape.count).sum::<u64>(), total);
        for shape in &top {
            let exact = exact[&shape.text];
            prop_assert!(shape.count - shape.over <= exact && exact <= shape.count);
        }
        for (text, count) in exact {
            let kept = top.iter().any(|shape| shape.text == text);
            prop_assert!(kept || count <= total / max as u64, "{} of {}", count, total);
        }
    }
}
