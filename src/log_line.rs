//! A line of a log as it is written: its header, its time. It knows nothing of where lines come from or what they mean.

pub(crate) mod dmesg;
pub mod header;
pub(crate) mod json;
pub(crate) mod kernel_clock;
pub(crate) mod stamp;
pub(crate) mod times;
pub(crate) mod year;

/// The facilities of syslog(3) by their number, in the words of syslog.conf(5) and of `dmesg`.
const FACILITIES: [&[u8]; 24] = [
    b"kern",
    b"user",
    b"mail",
    b"daemon",
    b"auth",
    b"syslog",
    b"lpr",
    b"news",
    b"uucp",
    b"cron",
    b"authpriv",
    b"ftp",
    b"ntp",
    b"security",
    b"console",
    b"clock",
    b"local0",
    b"local1",
    b"local2",
    b"local3",
    b"local4",
    b"local5",
    b"local6",
    b"local7",
];
