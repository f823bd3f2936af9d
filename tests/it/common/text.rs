//! A scrape, parsed just enough to ask for samples.

use std::collections::BTreeMap;

/// The samples and families of one scrape.
#[derive(Debug, Clone, Default)]
pub struct Scrape {
    samples: BTreeMap<String, f64>,
    /// Type by family name.
    pub families: BTreeMap<String, String>,
}

impl Scrape {
    pub fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                scrape.families.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let value = if value == "+Inf" { f64::INFINITY } else { value.parse().unwrap() };
                let twice = scrape.samples.insert(series.to_owned(), value);
                assert_eq!(twice, None, "{series} twice");
            }
        }
        scrape
    }

    /// The value of a series, written as in the text format.
    pub fn get(&self, series: &str) -> Option<f64> {
        self.samples.get(series).copied()
    }

    /// The value of a series that must be there.
    pub fn value(&self, series: &str) -> f64 {
        self.get(series).unwrap_or_else(|| {
            let name = series.split('{').next().unwrap();
            let near: Vec<_> = self.samples.keys().filter(|key| key.starts_with(name)).collect();
            panic!("no {series}; there are {near:#?}")
        })
    }

    /// The one series of this family with this label pair, of users: `tasks`, `uid="7"`, further
    /// pairs in `rest`.
    pub fn user(&self, family: &str, uid: u32, rest: &str) -> Option<f64> {
        let family = format!("telltale_user_{family}{{");
        let (uid, rest) = (format!(",uid=\"{uid}\""), format!("{rest}}}"));
        let mut found = self.samples.iter().filter(|(series, _)| {
            series.starts_with(&family) && series.contains(&uid) && series.ends_with(&rest)
        });
        let first = found.next().map(|(_, value)| *value);
        assert!(first.is_none() || found.next().is_none(), "{family} {uid} is not one series");
        first
    }

    pub fn series(&self) -> impl Iterator<Item = &String> {
        self.samples.keys()
    }
}
