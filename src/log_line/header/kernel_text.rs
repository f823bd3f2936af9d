//! What the kernel itself puts before its text.

/// The kernel's `[ 1237.492680] ` in front, where printk.time is on.
pub(super) fn without_uptime(message: &[u8]) -> &[u8] {
    let stripped = message.strip_prefix(b"[").and_then(|rest| {
        let end = rest.iter().position(|&byte| byte == b']')?;
        let number = rest[..end].trim_ascii_start();
        let uptime = !number.is_empty()
            && number.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
            && number.contains(&b'.');
        if uptime { Some(without_caller(&rest[end + 1..])) } else { None }?.strip_prefix(b" ")
    });
    stripped.unwrap_or(message)
}

/// `[  T123]` or `[    C0]` behind the time, with `CONFIG_PRINTK_CALLER` (SUSE's kernels); newer dmesg parts
/// them by a space.
pub(super) fn without_caller(rest: &[u8]) -> &[u8] {
    let inside = rest.strip_prefix(b" ").unwrap_or(rest).strip_prefix(b"[");
    let stripped = inside.and_then(|inside| {
        let end = inside.iter().take(16).position(|&byte| byte == b']')?;
        let (kind, number) = inside[..end].trim_ascii_start().split_first()?;
        let caller = matches!(kind, b'T' | b'C')
            && !number.is_empty()
            && number.iter().all(u8::is_ascii_digit);
        caller.then_some(&inside[end + 1..])
    });
    stripped.unwrap_or(rest)
}
