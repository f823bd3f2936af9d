//! Where people reach the pages: the label of a metric, so that notifications can link to them.

use std::net::SocketAddr;

use crate::metrics::{Desc, Metrics};

const PAGE_INFO: Desc = Desc::gauge(
    "telltale_exporter_page_info",
    "1, with the address at which people reach the pages of this exporter.",
);

/// More would be a mistake, and each is a series.
const MAX_URLS: usize = 5;

/// Takes an address of the pages as a person would open it; it ends with a slash.
///
/// # Errors
/// Why it is none, with what to give.
pub(crate) fn parse(text: &str) -> Result<String, String> {
    const CURE: &str = "give the address that people open, as https://web04.example.org/telltale/";
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let Some(rest) = rest else { return Err(format!("it has no http:// or https://; {CURE}")) };
    let host = rest.split('/').next().unwrap_or_default();
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    if host.is_empty() || !printable || text.contains(['"', '\\', '<', '>', '?', '#', '@']) {
        return Err(CURE.to_owned());
    }
    if text.len() > 200 {
        return Err("it is longer than 200 bytes".to_owned());
    }
    Ok(format!("{}/", text.trim_end_matches('/')))
}

/// The addresses that were given, else one of each address that is listened on.
pub(crate) fn choose(given: &[String], bound: &[SocketAddr], hostname: &str) -> Vec<String> {
    let mut urls: Vec<String> = if given.is_empty() {
        bound.iter().map(|&address| of_address(address, hostname)).collect()
    } else {
        given.to_vec()
    };
    let mut seen = std::collections::BTreeSet::new();
    urls.retain(|url| seen.insert(url.clone()));
    urls.truncate(MAX_URLS);
    urls
}

/// A wildcard is no address to open: the name of the host stands for it.
fn of_address(address: SocketAddr, hostname: &str) -> String {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let named = !hostname.is_empty() && hostname.bytes().all(name);
    if address.ip().is_unspecified() && named {
        return format!("http://{hostname}:{}/", address.port());
    }
    format!("http://{address}/")
}

pub(crate) fn export(urls: &[String], metrics: &mut Metrics) {
    for url in urls {
        metrics.add(&PAGE_INFO, &[("url", url)], 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_or_refused_with_the_cure() {
        assert_eq!(parse("https://a.example/x").unwrap(), "https://a.example/x/");
        assert_eq!(parse("http://[::1]:10121/").unwrap(), "http://[::1]:10121/");
        for bad in
            ["web04:10121", "ftp://a/", "http://", "http:///x", "http://a b/", "http://u:p@a/"]
        {
            assert!(parse(bad).unwrap_err().contains("example.org"), "{bad}");
        }
        assert!(parse(&format!("http://a/{}", "x".repeat(200))).unwrap_err().contains("200"));
    }

    #[test]
    fn a_wildcard_becomes_the_name_of_the_host() {
        let bound = ["[::]:10121", "127.0.0.1:80", "[::]:10121"].map(|text| text.parse().unwrap());
        let urls = choose(&[], &bound, "web04");
        assert_eq!(urls, ["http://web04:10121/", "http://127.0.0.1:80/"]);
        assert_eq!(choose(&[], &bound[..1], ""), ["http://[::]:10121/"]);
        let given = vec!["https://a/".to_owned()];
        assert_eq!(choose(&given, &bound, "web04"), given);
    }
}
