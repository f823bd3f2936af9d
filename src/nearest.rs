//! What a name that nobody knows was meant to be.

/// The known name that is nearest, if it is so near that it may be meant.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = (name.len() / 4).clamp(1, 3);
    let distances =
        known.into_iter().filter_map(|other| Some((distance(name, other, far)?, other)));
    distances.min().map(|(_, other)| other)
}

/// How many letters are another, added, left out or swapped with the next; `None`: more than `most`.
pub(crate) fn distance(one: &str, other: &str, most: usize) -> Option<usize> {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len().abs_diff(other.len()) > most {
        return None;
    }
    // Rows of the usual table: each says how far the beginning of one is from every beginning of the other.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut next = vec![row + 1];
        for column in 0..other.len() {
            let mut least = (last[column] + usize::from(*letter != other[column]))
                .min(last[column + 1] + 1)
                .min(next[column] + 1);
            let swapped = row > 0
                && column > 0
                && *letter == other[column - 1]
                && one[row - 1] == other[column];
            if swapped {
                least = least.min(before[column - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut last, next);
    }
    last.last().copied().filter(|&distance| distance <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_pen_are_near() {
        for (one, other) in [("kernel", "kernle"), ("sshd", "ssd"), ("sshd", "sshhd"), ("su", "so")]
        {
            assert_eq!(distance(one, other, 1), Some(1), "{one} {other}");
        }
        assert_eq!(distance("kernel", "colonel", 1), None);
        assert_eq!(
            (distance("", "", 0), distance("", "ab", 2), distance("abc", "", 2)),
            (Some(0), Some(2), None)
        );
    }

    #[test]
    fn the_nearest_is_meant_and_nothing_where_all_are_far() {
        let known = ["bash-fork-retry", "kernel-oom-kill", "gnome-software-refresh"];
        assert_eq!(nearest("gnome-sofware-refesh", known), Some("gnome-software-refresh"));
        assert_eq!(nearest("bash_fork_retry", known), Some("bash-fork-retry"));
        assert_eq!(nearest("nonsense", known), None);
    }
}
