//! Messages of the audit netlink socket: requests written, datagrams taken apart. No system calls.

/// `AUDIT_GET`: the status (include/uapi/linux/audit.h).
pub(crate) const GET: u16 = 1000;
/// `AUDIT_LIST_RULES`: one message a rule, then `DONE`.
pub(crate) const LIST_RULES: u16 = 1013;
/// `NLMSG_ERROR`: an error, or with 0 the acknowledgement that was asked for.
const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a reply of several messages.
const DONE: u16 = 3;

/// The first type that is a record and no control message: `AUDIT_LOGIN` is 1006, users' begin at 1100.
const FIRST_RECORD: u16 = 1005;

const HEADER: usize = 16;
const REQUEST: u16 = 1;
const ACK: u16 = 4;

/// A request without payload, in the host's byte order, that asks for an acknowledgement too.
pub(crate) fn request(kind: u16, sequence: u32) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[0..4].copy_from_slice(&16u32.to_ne_bytes());
    bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
    bytes[6..8].copy_from_slice(&(REQUEST | ACK).to_ne_bytes());
    bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
    bytes
}

/// What one message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// The request of this sequence number was taken.
    Ack(u32),
    /// The request of this sequence number was refused with this errno.
    Refused(u32, i32),
    /// A status: `struct audit_status`, as long as this kernel has it.
    Status(u32, &'a [u8]),
    /// A rule: `struct audit_rule_data`.
    Rule(u32, &'a [u8]),
    /// The end of the rules.
    Done(u32),
    /// Anything else, such as a record for an audit daemon.
    Unrelated,
}

/// Type and text of the audit record in a datagram of the multicast group.
///
/// Some kernels count the header twice in the length, some not at all, so a datagram is taken whole.
pub(crate) fn record(datagram: &[u8]) -> Option<(u16, &[u8])> {
    let (header, text) = datagram.split_at_checked(HEADER)?;
    let kind = u16::from_ne_bytes([header[4], header[5]]);
    let end = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    (kind >= FIRST_RECORD).then_some((kind, &text[..end]))
}

/// The messages of one datagram; what cannot be one ends it.
pub(crate) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let header = datagram.get(..HEADER)?;
        let number =
            |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap_or_default());
        let length = usize::try_from(number(0)).ok()?;
        let payload = datagram.get(HEADER..length)?;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let sequence = number(8);
        // Messages are padded to 4 bytes; the last need not be.
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(match kind {
            ERROR => match payload.first_chunk().map(|&code| i32::from_ne_bytes(code)) {
                Some(0) => Message::Ack(sequence),
                Some(code) => Message::Refused(sequence, code.saturating_neg()),
                None => Message::Unrelated,
            },
            DONE => Message::Done(sequence),
            GET => Message::Status(sequence, payload),
            LIST_RULES => Message::Rule(sequence, payload),
            _ => Message::Unrelated,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = request(kind, sequence).to_vec();
        let length = u32::try_from(HEADER + payload.len()).unwrap();
        bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn an_acknowledgement_may_come_first_and_others_in_between() {
        let mut datagram = message(ERROR, 7, &[0; 20]);
        datagram.extend(message(1300, 0, b"audit(1.2:3): arch=c000003e"));
        datagram.extend(message(GET, 7, &[9; 44]));
        datagram.extend(message(ERROR, 8, &(-1i32).to_ne_bytes()));
        datagram.extend(message(LIST_RULES, 9, b"rule"));
        datagram.extend(message(DONE, 9, b""));
        let found: Vec<_> = messages(&datagram).collect();
        assert_eq!(
            found,
            [
                Message::Ack(7),
                Message::Unrelated,
                Message::Status(7, &[9; 44]),
                Message::Refused(8, 1),
                Message::Rule(9, b"rule"),
                Message::Done(9),
            ]
        );
    }

    #[test]
    fn lengths_that_lie_end_the_datagram() {
        for length in [0u32, 15, 21, u32::MAX] {
            let mut bytes = message(GET, 1, &[0; 4]);
            bytes[0..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(messages(&bytes).count(), 0, "{length}");
        }
    }

    #[test]
    fn a_record_is_the_datagram_whatever_its_length_says() {
        let text = b"audit(1.2:3): arch=c000003e";
        for length in [text.len(), HEADER + text.len(), 2 * HEADER + text.len()] {
            let mut datagram = message(1300, 0, text);
            datagram[0..4].copy_from_slice(&u32::try_from(length).unwrap().to_ne_bytes());
            assert_eq!(record(&datagram), Some((1300, &text[..])));
        }
        assert_eq!(record(&message(DONE, 1, b"")), None);
        assert_eq!(record(b"short"), None);
    }

    proptest! {
        #[test]
        fn any_datagram_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            record(&bytes);
            prop_assert!(messages(&bytes).count() <= bytes.len() / HEADER);
        }

        #[test]
        fn any_error_code_is_survived(code: i32, sequence: u32) {
            let datagram = message(ERROR, sequence, &code.to_ne_bytes());
            let found: Vec<_> = messages(&datagram).collect();
            let expected =
                if code == 0 { Message::Ack(sequence) } else { Message::Refused(sequence, code.saturating_neg()) };
            prop_assert_eq!(found, vec![expected]);
        }
    }
}
