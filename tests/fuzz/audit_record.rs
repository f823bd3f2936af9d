//! Records of the audit log, of whatever bytes: taken apart, joined, counted and told.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telltale_exporter::internals::{Facts, Joiner, Limits, Reader, Recent, Record, Teller, Totals};

fuzz_target!(|data: &[u8]| {
    let limits = Limits { events: 8, bytes: 16 << 10, newer: 16, idle: 2_000 };
    let mut joiner = Joiner::new(limits);
    let (mut totals, mut recent, mut ended) = (Totals::default(), Recent::default(), Vec::new());
    for line in data.split(|&byte| byte == b'\n') {
        let now = Record::parse(line).map_or(0, |record| record.stamp.millis);
        joiner.push(line, now, &mut ended);
        assert!(joiner.bytes() <= 16 << 10);
    }
    joiner.finish(&mut ended);
    for event in &ended {
        let facts = Facts::of(event);
        totals.add(&facts);
        recent.add(facts);
    }
    for reader in [Reader::Public, Reader::Trusted] {
        let teller = Teller { reader, offset: 3600 };
        for kill in &recent.kills {
            let sentence = teller.kill(kill);
            assert!(!sentence.contains(|char: char| char.is_control()), "{sentence:?}");
            let json = teller.kill_json(kill);
            assert!(!json.contains('\n') && json.starts_with('{'), "{json:?}");
        }
        for fork in &recent.forks {
            assert!(!teller.fork(fork).contains(|char: char| char.is_control()));
            teller.fork_json(fork);
        }
        for incident in &recent.incidents {
            assert!(!incident.told(teller).contains(|char: char| char.is_control()));
        }
    }
});
