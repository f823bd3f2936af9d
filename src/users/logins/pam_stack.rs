//! Where a PAM service calls `pam_limits` in its session stack (pam.conf(5)).

/// What a line of a service's file has to do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// It is called.
    Limits(Call),
    /// The session part of another file comes here.
    Include(String),
}

/// The arguments of `pam_limits` that matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Call {
    /// `conf=`: this file in place of all others.
    pub conf: Option<String>,
    /// `set_all`: what no line sets is that of process 1.
    pub set_all: bool,
}

/// The steps of one file, in their order.
pub(super) fn parse(bytes: &[u8]) -> Vec<Step> {
    let text = String::from_utf8_lossy(bytes).replace("\\\n", " ");
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Step> {
    let line = line.split('#').next().unwrap_or_default().trim();
    if let Some(file) = line.strip_prefix("@include") {
        return Some(Step::Include(file.trim().to_owned()));
    }
    // A leading dash: the module may be missing.
    let (kind, rest) = line.split_once(char::is_whitespace)?;
    if !kind.trim_start_matches('-').eq_ignore_ascii_case("session") {
        return None;
    }
    let rest = rest.trim_start();
    let (control, rest) = match rest.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => rest.split_once(char::is_whitespace)?,
    };
    let mut words = rest.split_whitespace();
    let module = words.next()?;
    if matches!(control, "include" | "substack") {
        return Some(Step::Include(module.to_owned()));
    }
    if module.rsplit('/').next() != Some("pam_limits.so") {
        return None;
    }
    let mut call = Call::default();
    for word in words {
        if let Some(file) = word.strip_prefix("conf=") {
            call.conf = Some(file.to_owned());
        }
        call.set_all |= word == "set_all";
    }
    Some(Step::Limits(call))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_part_of_the_usual_files() {
        let debian = b"# comment\naccount required pam_limits.so\n@include common-session\n\
            session    required     pam_limits.so\nsession optional pam_motd.so\n";
        assert_eq!(
            parse(debian),
            [Step::Include("common-session".to_owned()), Step::Limits(Call::default())]
        );
        let red_hat = b"session include password-auth\n-session\t[default=1 success=ok] /lib64/security/pam_limits.so \\\n\
            conf=/etc/security/app.conf set_all # here\nsession substack x\nauth include y\nsession\n";
        let call = Call { conf: Some("/etc/security/app.conf".to_owned()), set_all: true };
        assert_eq!(
            parse(red_hat),
            [
                Step::Include("password-auth".to_owned()),
                Step::Limits(call),
                Step::Include("x".to_owned())
            ]
        );
        assert!(
            parse(b"session required pam_limits.so.old\nsession [broken pam_limits.so\n\xff\n")
                .is_empty()
        );
    }
}
