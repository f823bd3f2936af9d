//! Which boot of the kernel this is.

use std::io;
use std::path::Path;

/// The id that the kernel has given itself at this boot, below a mount of procfs.
///
/// # Errors
/// Those of reading it, with its path; `InvalidData` when it is no id.
pub(crate) fn read_boot_id(procfs: &Path) -> io::Result<u128> {
    let path = procfs.join("sys/kernel/random/boot_id");
    let because = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(&path)
        .map_err(|error| io::Error::new(error.kind(), because(&error)))?;
    let digits = text.trim().replace('-', "");
    u128::from_str_radix(&digits, 16)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, because(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_read_or_said_to_be_none() {
        let root = tempfile::tempdir().unwrap();
        let random = root.path().join("sys/kernel/random");
        std::fs::create_dir_all(&random).unwrap();
        let read = |text: &str| {
            std::fs::write(random.join("boot_id"), text).unwrap();
            read_boot_id(root.path())
        };
        let id = "f57f5dc8-fb67-4d3a-b37b-b3c1122edd8f\n";
        assert_eq!(read(id).unwrap(), 0xf57f_5dc8_fb67_4d3a_b37b_b3c1_122e_dd8f);
        for none in ["", "zz", "f57f5dc8 fb67", &format!("{id}{id}")] {
            let error = read(none).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{none:?}");
            assert!(error.to_string().contains("boot_id"), "{error}");
        }
        let nowhere = read_boot_id(Path::new("/nowhere")).unwrap_err();
        assert!(nowhere.to_string().contains("/nowhere/sys"), "{nowhere}");
        assert_eq!(
            read_boot_id(Path::new("/proc")).unwrap(),
            read_boot_id(Path::new("/proc")).unwrap()
        );
    }
}
