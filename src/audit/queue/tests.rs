use std::io::Write as _;
use std::process::Command;

use super::*;

/// What is known after a helper that lives on has said this and closed its end.
fn listen_to(said: &[u8]) -> (Option<Trouble>, bool) {
    let mut helper = Command::new("sleep").arg("1000").spawn().unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(said).unwrap();
    drop(theirs);
    let shared = Shared::default();
    listen(&mut helper, &ours, &shared);
    let ended = helper.try_wait().unwrap().is_some();
    let trouble = lock(&shared.0).trouble;
    (trouble, ended)
}

#[test]
fn a_helper_that_cannot_be_understood_is_ended_and_told_of() {
    let mut said = Vec::new();
    Frame::Unanswered.send(&mut said).unwrap();
    for nonsense in [&[1, 0, 0, 0, 99][..], &[255; 8], &[3, 0, 0, 0, 3, 0, 0]] {
        let said = [&said, nonsense].concat();
        assert_eq!(listen_to(&said), (Some(Trouble::HelperNotUnderstood), true), "{nonsense:?}");
    }
    let cure = cure(Trouble::HelperNotUnderstood).unwrap();
    assert!(cure.contains("restart") && !cure.contains('\n'), "{cure}");
    // Killed in the middle of a frame.
    assert_eq!(listen_to(&[&said[..], &[9, 0]].concat()), (Some(Trouble::HelperGone), true));
}
