//! What cannot be seen never looks like peace: without a log that can be read nothing is 0, and nothing ok.

use std::fs;

use rustix::process::Signal;

use super::common::{Exporter, Need, Scrape, eventually, exporter_command, need};
use super::live_logs::{append, count};

const LINE: &str = "Nov 20 05:08:31 h kernel: audit: backlog limit exceeded\n";
const SOURCES: &str = "telltale_log_sources";
const UNKNOWN: &str = "unknown, because no log source could be read since the start";

struct Scene {
    dir: tempfile::TempDir,
    flag: String,
}

impl Scene {
    fn new(sources: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("telltale.yml");
        let sources = sources.replace("DIR", &dir.path().display().to_string());
        fs::write(&config, format!("logs: {{sources: [{sources}]}}\n")).unwrap();
        let flag = format!("--config.file={}", config.display());
        Self { dir, flag }
    }

    fn start(&self) -> Exporter {
        Exporter::start_in(self.dir.path(), &[&self.flag])
    }
}

fn signatures(scrape: &Scrape) -> usize {
    let of = |series: &&String| series.starts_with("telltale_log_signature_");
    scrape.series().filter(of).count()
}

#[test]
fn signatures_are_absent_until_a_source_is_read_and_stay_then() {
    let scene = Scene::new("{name: app, files: [DIR/app]}");
    let mut exporter = scene.start();
    let scrape = exporter.scrape();
    assert_eq!((signatures(&scrape), scrape.value(SOURCES)), (0, 0.0));
    assert_eq!(scrape.value("telltale_log_source_up{source=\"app\"}"), 0.0);
    let page = exporter.get("/").text();
    // Both of the lines that are known and of those that are not.
    assert_eq!(page.matches(UNKNOWN).count(), 2, "{page}");
    assert!(page.contains("unknown, because nothing of it was read yet: "), "{page}");
    assert!(!page.contains("none since start"), "{page}");

    append(&scene.dir.path().join("app"), LINE);
    let counted =
        |scrape: &Scrape| signatures(scrape) > 0 && count(scrape, "audit-backlog-exceeded") == 1.0;
    eventually("it is read", || counted(&exporter.scrape()));
    let scrape = exporter.scrape();
    let all = signatures(&scrape);
    assert!(all > 200, "{all}");
    assert_eq!(scrape.value(SOURCES), 1.0);
    assert!(!exporter.get("/").text().contains(UNKNOWN));

    // One that fails later keeps what it has counted.
    fs::remove_file(scene.dir.path().join("app")).unwrap();
    eventually("it is down", || exporter.scrape().value(SOURCES) == 0.0);
    let scrape = exporter.scrape();
    assert_eq!((signatures(&scrape), count(&scrape, "audit-backlog-exceeded")), (all, 1.0));
    assert_eq!(scrape.value("telltale_log_source_up{source=\"app\"}"), 0.0);

    // After a start it is not known any more, whatever an earlier run has counted.
    exporter.stop(Signal::TERM);
    let exporter = scene.start();
    let scrape = exporter.scrape();
    assert_eq!((signatures(&scrape), scrape.value(SOURCES)), (0, 0.0));
    append(&scene.dir.path().join("app"), LINE);
    let counted =
        |scrape: &Scrape| signatures(scrape) > 0 && count(scrape, "audit-backlog-exceeded") == 2.0;
    eventually("it goes on", || counted(&exporter.scrape()));
}

#[test]
fn audit_events_alone_say_nothing_of_signatures() {
    let scene = Scene::new("{name: audit, format: audit, files: [DIR/audit.log]}");
    fs::write(scene.dir.path().join("audit.log"), "").unwrap();
    let exporter = scene.start();
    let scrape = exporter.scrape();
    assert_eq!((signatures(&scrape), scrape.value(SOURCES)), (0, 1.0));
    assert!(exporter.get("/").text().contains(UNKNOWN));
}

#[test]
fn what_was_counted_by_former_sources_is_shown_with_the_next_one() {
    let scene = Scene::new("{name: app, files: [DIR/app]}");
    fs::write(scene.dir.path().join("app"), "").unwrap();
    let mut exporter = scene.start();
    append(&scene.dir.path().join("app"), &LINE.repeat(3));
    eventually("they are counted", || count(&exporter.scrape(), "audit-backlog-exceeded") == 3.0);
    exporter.stop(Signal::TERM);
    let config = scene.dir.path().join("telltale.yml");
    let other = scene.dir.path().join("other");
    fs::write(
        &config,
        format!("logs: {{sources: [{{name: other, files: ['{}']}}]}}\n", other.display()),
    )
    .unwrap();
    let exporter = scene.start();
    assert_eq!(signatures(&exporter.scrape()), 0);
    append(&other, LINE);
    eventually("it is read", || signatures(&exporter.scrape()) > 0);
    eventually("both are shown", || count(&exporter.scrape(), "audit-backlog-exceeded") == 4.0);
}

/// As somebody who may read none of the host's logs.
#[test]
fn an_ordinary_user_knows_nothing_of_the_logs() {
    if !need(&[Need::Root, Need::Tool("setpriv")]) {
        return;
    }
    let scene = Scene::new("{name: app, files: [DIR/app]}, {name: kernel, kmsg: true}");
    append(&scene.dir.path().join("app"), LINE);
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(scene.dir.path().join("app"), private).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(scene.dir.path(), open).unwrap();
    let uid = super::common::free_uid().to_string();
    // The program itself may lie where that user may not go.
    let script = "exec 9<\"$1\"; exec setpriv --reuid \"$2\" --regid \"$2\" --clear-groups --pdeathsig KILL \
                  --bounding-set=-all --inh-caps=-all /proc/self/fd/9 \"$3\" \"$4\"";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script, "sh"]).arg(exporter_command().get_program());
    command.args([&uid, &scene.flag]).arg("--web.listen-address=127.0.0.1:0");
    let exporter = Exporter::run_in(scene.dir.path(), command);
    let scrape = exporter.scrape();
    assert_eq!((signatures(&scrape), scrape.value(SOURCES)), (0, 0.0));
    for source in ["app", "kernel"] {
        let up = format!("telltale_log_source_up{{source=\"{source}\"}}");
        assert_eq!(scrape.value(&up), 0.0);
    }
    let page = exporter.get("/").text();
    assert_eq!(page.matches(UNKNOWN).count(), 2, "{page}");
    assert_eq!(page.matches("unknown, because nothing of it was read yet").count(), 2, "{page}");
}
