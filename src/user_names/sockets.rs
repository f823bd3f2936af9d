//! Names from a host whose root is a directory of ours: its own name service, asked over the socket of nscd or
//! of systemd-userdb, where it runs one.
//!
//! NSS itself would ask for our own root. Both protocols are stable: nscd's is glibc's `nscd-client.h`,
//! userdb's is documented at `systemd.io/USER_GROUP_API`.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long each reading or writing may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A user record may carry a certificate or a picture's name, and no more.
const MAX_BYTES: u64 = 1 << 20;

/// Who multiplexes the user databases of a host.
const USERDB: &str = "io.systemd.Multiplexer";

/// nscd's protocol: its version, and the question for a user by its number.
const NSCD_VERSION: i32 = 2;
const GETPWBYUID: i32 = 1;

/// Numbers before the strings of nscd's answer.
const NSCD_NUMBERS: usize = 9;

/// The name that the host below `root` has for a uid.
pub(super) fn ask_host(root: &Path, uid: u32) -> Option<Vec<u8>> {
    let by_userdb = ask_userdb(&root.join("run/systemd/userdb").join(USERDB), uid);
    by_userdb.ok().flatten().or_else(|| {
        ["run/nscd/socket", "var/run/nscd/socket"]
            .into_iter()
            .find_map(|socket| ask_nscd(&root.join(socket), uid).ok())?
    })
}

fn connect(socket: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn ask_userdb(socket: &Path, uid: u32) -> io::Result<Option<Vec<u8>>> {
    let mut stream = connect(socket)?;
    let question = format!(
        "{{\"method\":\"io.systemd.UserDatabase.GetUserRecord\",\
         \"parameters\":{{\"uid\":{uid},\"service\":\"{USERDB}\"}}}}\0"
    );
    stream.write_all(question.as_bytes())?;
    // It leaves the connection open: the answer ends with its NUL.
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.contains(&0) && (answer.len() as u64) < MAX_BYTES {
        match stream.read(&mut buffer)? {
            0 => break,
            count => answer.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(parse_userdb(&answer, uid))
}

fn parse_userdb(answer: &[u8], uid: u32) -> Option<Vec<u8>> {
    let end = answer.iter().position(|&byte| byte == 0)?;
    let answer: serde_json::Value = serde_json::from_slice(&answer[..end]).ok()?;
    let record = answer.get("parameters")?.get("record")?;
    // As the record says it: a service that answers another question is not believed.
    let same = record.get("uid").and_then(serde_json::Value::as_u64) == Some(uid.into());
    let name = record.get("userName")?.as_str()?;
    same.then(|| name.as_bytes().to_vec())
}

fn ask_nscd(socket: &Path, uid: u32) -> io::Result<Option<Vec<u8>>> {
    let mut stream = connect(socket)?;
    let key = format!("{uid}\0");
    let length = i32::try_from(key.len()).unwrap_or(0);
    let mut question = Vec::new();
    for number in [NSCD_VERSION, GETPWBYUID, length] {
        question.extend_from_slice(&number.to_ne_bytes());
    }
    question.extend_from_slice(key.as_bytes());
    stream.write_all(&question)?;
    let mut answer = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut answer)?;
    Ok(parse_nscd(&answer, uid))
}

fn parse_nscd(answer: &[u8], uid: u32) -> Option<Vec<u8>> {
    let (numbers, strings) = answer.split_at_checked(NSCD_NUMBERS * 4)?;
    let number = |nth: usize| {
        let bytes = numbers.get(nth * 4..nth * 4 + 4)?;
        Some(i32::from_ne_bytes(bytes.try_into().ok()?))
    };
    let (version, found, name_length) = (number(0)?, number(1)?, number(2)?);
    let same = number(4)?.cast_unsigned() == uid;
    if version != NSCD_VERSION || found != 1 || !same {
        return None;
    }
    // The length has the NUL that ends it.
    let name = strings.get(..usize::try_from(name_length).ok()?.checked_sub(1)?)?;
    (!name.is_empty()).then(|| name.to_vec())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::net::UnixListener;

    /// What nscd answers about this user.
    fn nscd_answer(name: &str, uid: u32) -> Vec<u8> {
        let fields = [name, "x", "Gecos", "/home/x", "/bin/sh"];
        let length = |field: &str| i32::try_from(field.len() + 1).unwrap();
        let numbers = [
            2,
            1,
            length(fields[0]),
            length(fields[1]),
            uid.cast_signed(),
            100,
            length(fields[2]),
            length(fields[3]),
            length(fields[4]),
        ];
        let mut answer: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
        for field in fields {
            answer.extend_from_slice(field.as_bytes());
            answer.push(0);
        }
        answer
    }

    /// A socket that gives this answer to a question that has these bytes, as often as it is asked.
    pub(in super::super) fn serve(
        socket: &Path,
        expect: Vec<u8>,
        answer: Vec<u8>,
        stays_open: bool,
    ) {
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(socket).unwrap();
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut question = vec![0; expect.len()];
                let asked = stream.read_exact(&mut question).is_ok() && question == expect;
                if asked {
                    // In two parts, as a stream may come.
                    let (first, rest) = answer.split_at(answer.len() / 2);
                    let _ = stream.write_all(first).and_then(|()| stream.write_all(rest));
                }
                if stays_open {
                    open.push(stream);
                }
            }
        });
    }

    fn nscd_question(uid: u32) -> Vec<u8> {
        let key = format!("{uid}\0");
        let length = i32::try_from(key.len()).unwrap();
        let mut question: Vec<u8> =
            [2, 1, length].iter().flat_map(|n: &i32| n.to_ne_bytes()).collect();
        question.extend_from_slice(key.as_bytes());
        question
    }

    fn userdb_question(uid: u32) -> Vec<u8> {
        format!(
            "{{\"method\":\"io.systemd.UserDatabase.GetUserRecord\",\"parameters\":{{\"uid\":{uid},\
             \"service\":\"io.systemd.Multiplexer\"}}}}\0"
        )
        .into_bytes()
    }

    const RECORD: &[u8] = b"{\"parameters\":{\"record\":{\"userName\":\"kim\",\"uid\":5000,\
        \"disposition\":\"regular\"},\"incomplete\":false}}\0";

    #[test]
    fn nscd_is_asked_as_glibc_asks_it() {
        for socket in ["run/nscd/socket", "var/run/nscd/socket"] {
            let root = tempfile::tempdir().unwrap();
            let answer = nscd_answer("ldapuser", 5000);
            serve(&root.path().join(socket), nscd_question(5000), answer, false);
            assert_eq!(ask_host(root.path(), 5000), Some(b"ldapuser".to_vec()), "{socket}");
        }
    }

    #[test]
    fn userdb_comes_first_and_may_leave_the_connection_open() {
        let root = tempfile::tempdir().unwrap();
        let socket = root.path().join("run/systemd/userdb/io.systemd.Multiplexer");
        serve(&socket, userdb_question(5000), RECORD.to_vec(), true);
        serve(
            &root.path().join("run/nscd/socket"),
            nscd_question(5000),
            nscd_answer("no", 5000),
            false,
        );
        assert_eq!(ask_host(root.path(), 5000), Some(b"kim".to_vec()));
    }

    #[test]
    fn what_one_does_not_know_the_other_is_asked_for() {
        let root = tempfile::tempdir().unwrap();
        let socket = root.path().join("run/systemd/userdb/io.systemd.Multiplexer");
        let error = b"{\"error\":\"io.systemd.UserDatabase.NoRecordFound\",\"parameters\":{}}\0";
        serve(&socket, userdb_question(7), error.to_vec(), true);
        assert_eq!(ask_host(root.path(), 7), None, "and there is no nscd");
        serve(
            &root.path().join("run/nscd/socket"),
            nscd_question(7),
            nscd_answer("seven", 7),
            false,
        );
        assert_eq!(ask_host(root.path(), 7), Some(b"seven".to_vec()));
    }

    #[test]
    fn answers_to_other_questions_and_broken_ones_are_not_believed() {
        assert_eq!(parse_nscd(&nscd_answer("x", 7), 8), None);
        assert_eq!(parse_nscd(&nscd_answer("", 7), 7), None);
        assert_eq!(parse_userdb(RECORD, 5001), None);
        assert_eq!(parse_userdb(&RECORD[..RECORD.len() - 1], 5000), None, "cut off");
        let mut long = nscd_answer("x", 7);
        long[8..12].copy_from_slice(&i32::MAX.to_ne_bytes());
        assert_eq!(parse_nscd(&long, 7), None);
        long[8..12].copy_from_slice(&(-1_i32).to_ne_bytes());
        assert_eq!(parse_nscd(&long, 7), None);
    }

    proptest! {
        #[test]
        fn any_answer_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse_nscd(&bytes, 0), parse_userdb(&bytes, 0));
        }
    }
}
