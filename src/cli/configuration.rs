//! The configuration that the command line asks for: the file or the default, then the flags.

use super::Args;
use crate::config::{Config, Error, first};

impl Args {
    /// What to serve with.
    ///
    /// # Errors
    /// The first mistake found.
    pub(crate) fn load_config(&self) -> Result<Config, Error> {
        first(self.examine_config())
    }

    /// The same with all mistakes; what is wrong is left out of it.
    pub(crate) fn examine_config(&self) -> (Config, Vec<Error>) {
        let mut mistakes = self.wrong_paths();
        let (mut config, wrong) = Config::read_all(self.config_file.as_deref());
        mistakes.extend(wrong);
        for (flag, text, pattern) in [
            ("--collector.users.include", &self.users_include, &mut config.users.include),
            ("--collector.users.exclude", &self.users_exclude, &mut config.users.exclude),
        ] {
            match text.as_deref().map(str::parse) {
                Some(Ok(parsed)) => *pattern = parsed,
                Some(Err(why)) => {
                    let why: String = why;
                    mistakes.push(Error::new(format!("{flag}: {why}")));
                }
                None => {}
            }
        }
        (config, mistakes)
    }

    /// Mount points that are none are refused, rather than show a host without users.
    fn wrong_paths(&self) -> Vec<Error> {
        let paths = [
            ("--path.procfs", &self.procfs, "loadavg"),
            ("--path.sysfs", &self.sysfs, ""),
            ("--path.rootfs", &self.rootfs, ""),
        ];
        let wrong = paths.into_iter().filter_map(|(flag, path, must_have)| {
            let error = std::fs::metadata(path.join(must_have)).err()?;
            let (path, what) = (path.display(), flag.trim_start_matches("--path."));
            Some(Error::new(format!(
                "{flag} {path}: no {what} is there ({error}); mount it, or correct the flag"
            )))
        });
        wrong.collect()
    }
}
