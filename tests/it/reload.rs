//! SIGHUP: another catalogue and configuration, or those that run stay.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use rustix::process::Signal;

use super::common::{Exporter, Scrape, eventually, exporter_command};
use super::live_audit::helper_of;
use super::live_logs::{append, count};

const SUCCESSFUL: &str = "telltale_config_last_reload_successful";
const LOADED: &str = "telltale_config_last_reload_success_timestamp_seconds";

fn signature(id: &str, pattern: &str) -> String {
    format!(
        "- id: {id}\n  title: Of this test\n  pattern: '{pattern}'\n  severity: warning\n  verdict: watch\n"
    )
}

struct Scene {
    dir: tempfile::TempDir,
    exporter: Exporter,
}

impl Scene {
    fn start(signatures: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("app.log"), "").unwrap();
        std::fs::write(dir.path().join("own.yml"), signatures).unwrap();
        let config = dir.path().join("telltale.yml");
        let exporter = {
            Self::configure_in(dir.path(), "app", "");
            Exporter::start_in(dir.path(), &[&format!("--config.file={}", config.display())])
        };
        Self { dir, exporter }
    }

    fn configure_in(dir: &std::path::Path, source: &str, more: &str) {
        let text = format!(
            "logs:\n  sources: [{{name: {source}, files: ['{0}/app.log']}}]\n  signatures: ['{0}/own.yml']\n{more}",
            dir.display()
        );
        std::fs::write(dir.join("telltale.yml"), text).unwrap();
    }

    fn configure(&self, source: &str, more: &str) {
        Self::configure_in(self.dir.path(), source, more);
    }

    fn signatures(&self, text: &str) {
        std::fs::write(self.dir.path().join("own.yml"), text).unwrap();
    }

    /// Sends the signal and waits until it was acted upon.
    fn reload(&self) -> Scrape {
        let ends = || {
            let log = self.exporter.log();
            log.matches("catalogue reloaded").count() + log.matches("not reloaded").count()
        };
        let before = ends();
        let pid = rustix::process::Pid::from_raw(self.exporter.pid().cast_signed()).unwrap();
        rustix::process::kill_process(pid, Signal::HUP).unwrap();
        eventually("it reloads", || ends() > before);
        self.exporter.scrape()
    }

    fn line(&self, text: &str, lines: u32) -> Scrape {
        append(&self.log(), &format!("{text}\n"));
        let read = "telltale_log_lines_total{source=\"app\"}";
        let scrape = || self.exporter.scrape_path("/metrics?collect[]=logs");
        eventually("the line is read", || scrape().value(read) == f64::from(lines));
        scrape()
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("app.log")
    }
}

#[test]
fn the_catalogue_is_replaced_and_counters_go_on() {
    let first =
        signature("first-of-two", "the first thing (?P<what>\\w+)") + "  captures: [what]\n";
    let second = signature("second-of-two", "the second thing");
    let mut scene = Scene::start(&first);
    let begun = scene.exporter.scrape();
    assert_eq!(begun.value(SUCCESSFUL), 1.0);
    assert_eq!(count(&scene.line("the first thing a", 1), "first-of-two"), 1.0);
    scene.line("the second thing", 2);

    // Another comes, at another place in the list.
    scene.signatures(&(second.clone() + &first));
    let scrape = scene.reload();
    assert_eq!((scrape.value(SUCCESSFUL), count(&scrape, "second-of-two")), (1.0, 0.0));
    assert!(scrape.value(LOADED) > begun.value(LOADED));
    scene.line("the first thing a", 3);
    let scrape = scene.line("the second thing", 4);
    assert_eq!((count(&scrape, "first-of-two"), count(&scrape, "second-of-two")), (2.0, 1.0));

    // A bad one is refused, said, and changes nothing.
    scene.signatures(&(second.clone() + &first.replace("pattern: '", "pattern: '(")));
    let refused = scene.reload();
    assert_eq!(refused.value(SUCCESSFUL), 0.0);
    assert_eq!(refused.value(LOADED), scrape.value(LOADED));
    let page = scene.exporter.get("/").text();
    let note = page.lines().find(|line| line.starts_with("! configuration: ")).unwrap();
    assert!(
        note.contains("own.yml:") && note.contains("the configuration that runs stays"),
        "{note}"
    );
    let log = scene.exporter.log();
    assert!(
        log.lines().any(|line| line.contains("not reloaded") && line.contains("own.yml:")),
        "{log}"
    );
    assert_eq!(count(&scene.line("the first thing a", 5), "first-of-two"), 3.0);

    // One that is taken out, over a restart too, goes on where it was when it is back.
    scene.signatures(&second);
    let scrape = scene.reload();
    let gone = "telltale_log_signature_matches_total{signature=\"first-of-two\",severity=\"warning\",verdict=\"watch\"}";
    assert_eq!((scrape.value(SUCCESSFUL), scrape.get(gone)), (1.0, None));
    assert!(!scene.exporter.get("/").text().contains("! configuration"));
    scene.line("the first thing a", 6);
    scene.exporter.stop(Signal::KILL);
    let config = format!("--config.file={}", scene.dir.path().join("telltale.yml").display());
    scene.exporter = Exporter::start_in(scene.dir.path(), &[&config]);
    scene.signatures(&first);
    assert_eq!(scene.reload().value(gone), 3.0);
    let scrape = scene.line("the first thing a", 7);
    assert_eq!(scrape.value(gone), 4.0);
    let captured = "telltale_log_signature_captures_total{signature=\"first-of-two\",name=\"what\",value=\"a\"}";
    assert_eq!(scrape.value(captured), 4.0);
}

#[test]
fn the_configuration_is_replaced_and_what_waits_for_a_start_is_said() {
    let scene = Scene::start("");
    let user = "telltale_user_tasks{user=\"root\",uid=\"0\"}";
    let begun = scene.exporter.scrape();
    assert!(begun.get(user).is_some());
    scene.configure("other", "users: {exclude: '^root$'}\naudit: {required: true}\n");
    let scrape = scene.reload();
    assert_eq!((scrape.value(SUCCESSFUL), scrape.get(user)), (1.0, None));
    assert_eq!(
        (begun.value("telltale_audit_required"), scrape.value("telltale_audit_required")),
        (0.0, 1.0)
    );
    assert!(scrape.get("telltale_log_lines_total{source=\"app\"}").is_some());
    let page = scene.exporter.get("/").text();
    let later = "! configuration: logs.sources changed and takes effect at the next start";
    assert!(page.contains(later), "{page}");
    scene.configure("app", "users: {exclude: '('}\n");
    let scrape = scene.reload();
    assert_eq!((scrape.value(SUCCESSFUL), scrape.get(user)), (0.0, None), "what runs stays");
}

/// As when the terminal that it was started from is closed: the audit helper is not of its group.
#[test]
fn a_hangup_of_the_whole_group_takes_nothing_down() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = exporter_command();
    command.process_group(0).arg("--web.listen-address=127.0.0.1:0");
    let exporter = Exporter::run_in(dir.path(), command);
    let success = "telltale_scrape_collector_success{collector=\"audit\"}";
    let before = exporter.scrape().value(success);
    let helper = helper_of(&exporter);
    let group = rustix::process::Pid::from_raw(exporter.pid().cast_signed()).unwrap();
    rustix::process::kill_process_group(group, Signal::HUP).unwrap();
    eventually("it reloads", || exporter.log().contains("catalogue reloaded"));
    let after = exporter.scrape();
    assert_eq!((after.value(success), after.value(SUCCESSFUL)), (before, 1.0));
    assert_eq!(helper_of(&exporter), helper);
}
