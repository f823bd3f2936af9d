//! No thread ends in silence: each kind is made to panic, which is told and counted, and it goes on.
#![cfg(debug_assertions)]

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::common::audit::auditctl;
use super::common::{
    AuditScene, Exporter, Load, Need, Scrape, eventually, exporter_command, free_uid, need,
};
use super::live_kmsg::Log;
use super::live_logs::{append, count};
use telltale_exporter::internals::FAULTS;

/// An exporter that panics where it is asked to.
struct Scene {
    dir: TempDir,
    exporter: Exporter,
}

impl Scene {
    /// With the sources `app` and `other`, and these; `root` stands for the host's files, of which there
    /// are none.
    fn start(sources: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("faults")).unwrap();
        for log in ["app", "other"] {
            std::fs::write(dir.path().join(log), "").unwrap();
        }
        let config = dir.path().join("telltale.yml");
        let text = format!(
            "logs:\n  sources:\n    - {{name: app, files: ['{0}/app']}}\n    - {{name: other, files: ['{0}/other']}}\n{sources}",
            dir.path().display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = exporter_command();
        command
            .arg(format!("--config.file={}", config.display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .env(FAULTS, dir.path().join("faults"));
        let exporter = Exporter::run_in(dir.path(), command);
        Self { dir, exporter }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn fault(&self, step: &str) -> PathBuf {
        self.dir.path().join("faults").join(step)
    }

    /// The next time that it comes there it panics.
    fn ask(&self, step: &str) {
        std::fs::write(self.fault(step), "").unwrap();
    }

    fn lines(&self, source: &str) -> f64 {
        let series = format!("telltale_log_lines_total{{source=\"{source}\"}}");
        self.exporter.scrape_path("/metrics?collect[]=logs&collect[]=audit_events").value(&series)
    }

    fn up(&self, source: &str) -> f64 {
        let series = format!("telltale_log_source_up{{source=\"{source}\"}}");
        self.exporter.scrape_path("/metrics?collect[]=logs&collect[]=audit_events").value(&series)
    }

    /// Asks for a panic of this thread, and waits until it was counted.
    fn panicked(&self, step: &str, thread: &str, mut provoke: impl FnMut()) {
        let before = panics(&self.exporter.scrape(), thread);
        self.ask(step);
        eventually(&format!("{thread} panics in {step}"), || {
            provoke();
            panics(&self.exporter.scrape(), thread) > before
        });
        let note = format!("thread {thread} panicked");
        let page = self.exporter.get("/").text();
        let said =
            page.lines().find(|line| line.contains(&note)).unwrap_or_else(|| panic!("{page}"));
        assert!(said.contains(" (at src/supervised.rs:") && said.contains("asked"), "{said}");
    }

    fn hang_up(&self) {
        let pid = Pid::from_raw(self.exporter.pid().cast_signed()).unwrap();
        kill_process(pid, Signal::HUP).unwrap();
    }
}

fn panics(scrape: &Scrape, thread: &str) -> f64 {
    scrape.get(&format!("telltale_thread_panics_total{{thread=\"{thread}\"}}")).unwrap_or(0.0)
}

const LINE: &str = "Nov 20 05:08:31 h kernel: audit: backlog limit exceeded\n";

#[test]
fn a_log_source_that_panics_is_down_and_loses_nothing() {
    let scene = Scene::start("");
    let none = scene.exporter.scrape();
    assert!(!none.series().any(|series| series.starts_with("telltale_thread_panics")));
    append(&scene.log("app"), LINE);
    eventually("the first line", || scene.lines("app") == 1.0);
    // The bytes are counted and not published when it panics, again and again.
    std::fs::write(scene.fault("log-app"), "always").unwrap();
    append(&scene.log("app"), &LINE.repeat(3));
    eventually("it is down", || scene.up("app") == 0.0);
    let page = scene.exporter.get("/").text();
    assert!(page.contains("bug in telltale_exporter, please report it"), "{page}");
    append(&scene.log("other"), LINE);
    eventually("the other goes on", || scene.lines("other") == 1.0);
    eventually("it is taken up again", || panics(&scene.exporter.scrape(), "log-app") >= 2.0);
    assert_eq!(scene.lines("app"), 1.0, "what was published stays");
    assert_eq!((scene.up("app"), scene.up("other")), (0.0, 1.0));
    // Renamed meanwhile, as logrotate does.
    std::fs::rename(scene.log("app"), scene.log("app.1")).unwrap();
    append(&scene.log("app"), LINE);
    std::fs::remove_file(scene.fault("log-app")).unwrap();
    eventually("it is up again", || scene.up("app") == 1.0);
    eventually("every line is counted", || scene.lines("app") == 5.0);
    append(&scene.log("app"), LINE);
    eventually("and further ones", || scene.lines("app") == 6.0);
    let scrape = scene.exporter.scrape();
    assert_eq!(count(&scrape, "audit-backlog-exceeded"), 7.0, "each once");
}

#[test]
fn a_source_of_records_that_panics_loses_nothing() {
    let Some(mut log) = Log::open() else { return };
    let scene = Scene::start("    - {name: kernel, kmsg: true}\n");
    let matches = || {
        let scrape = scene.exporter.scrape_path("/metrics?collect[]=logs");
        count(&scrape, "sshd-setresuid-nproc")
    };
    let line = "sshd[1]: fatal: setresuid 500: Resource temporarily unavailable";
    std::fs::write(scene.fault("log-kernel"), "always").unwrap();
    log.write(line);
    log.write(line);
    eventually("it panics", || panics(&scene.exporter.scrape(), "log-kernel") >= 1.0);
    eventually("it is down", || scene.up("kernel") == 0.0);
    assert_eq!(matches(), 0.0);
    std::fs::remove_file(scene.fault("log-kernel")).unwrap();
    log.write(line);
    eventually("all are counted", || matches() == 3.0);
    assert_eq!(scene.up("kernel"), 1.0);
}

#[test]
fn every_collector_panics_and_goes_on() {
    let scene = Scene::start("");
    let collectors = scene.exporter.scrape();
    let collectors = collectors.series().filter_map(|series| {
        series.strip_prefix("telltale_scrape_collector_success{collector=\"")?.strip_suffix("\"}")
    });
    let collectors: Vec<_> = collectors.map(str::to_owned).collect();
    assert_eq!(collectors.len(), 8, "{collectors:?}");
    for name in &collectors {
        scene.panicked(name, name, || {});
        let success = format!("telltale_scrape_collector_success{{collector=\"{name}\"}}");
        let log = format!("a test asked {name} for it");
        eventually("it is logged", || scene.exporter.log().contains(&log));
        // Whether it works at all is not the question here: the audit status is not told to everyone.
        let works = || scene.exporter.scrape().value(&success) == 1.0;
        if name != "audit" {
            eventually(&format!("{name} works again"), works);
        }
    }
    let success = "telltale_scrape_collector_success{collector=\"users\"}";
    std::fs::write(scene.fault("users-sample"), "always").unwrap();
    eventually("the sampler fails", || scene.exporter.scrape().value(success) == 0.0);
    let before = panics(&scene.exporter.scrape(), "users");
    eventually("it is called again", || panics(&scene.exporter.scrape(), "users") > before);
    std::fs::remove_file(scene.fault("users-sample")).unwrap();
    eventually("it works again", || scene.exporter.scrape().value(success) == 1.0);
}

#[test]
fn threads_that_serve_the_others_panic_and_go_on() {
    let scene = Scene::start("");
    let refused = "telltale_config_last_reload_successful";
    scene.panicked("reload", "reload", || scene.hang_up());
    eventually("it is taken again", || {
        scene.hang_up();
        scene.exporter.scrape().value(refused) == 1.0
    });

    let reloads = || scene.exporter.log().matches("catalogue reloaded").count();
    scene.panicked("log", "log", || scene.hang_up());
    let before = reloads();
    eventually("the log is written again", || {
        scene.hang_up();
        reloads() > before
    });

    let errors = "telltale_state_write_errors_total";
    assert_eq!(scene.exporter.scrape().value(errors), 0.0);
    scene.panicked("state", "state", || append(&scene.log("app"), LINE));
    assert!(scene.exporter.scrape().value(errors) >= 1.0);
    eventually("the state is written again", || {
        append(&scene.log("app"), LINE);
        scene.exporter.scrape();
        !scene.exporter.get("/").text().contains("the state cannot be written")
    });

    // Who asks gets an answer later, or none; the next one does.
    let ask = |step: &str| {
        scene.ask(step);
        let connection = std::net::TcpStream::connect(scene.exporter.address).unwrap();
        let mut connection = &connection;
        let _ = std::io::Write::write_all(&mut connection, b"GET / HTTP/1.0\r\n\r\n");
        eventually("it panics", || !scene.fault(step).exists());
    };
    for step in ["http", "http-accept"] {
        let before = panics(&scene.exporter.scrape(), "http");
        ask(step);
        eventually("it is counted", || panics(&scene.exporter.scrape(), "http") == before + 1.0);
    }
    assert_eq!(scene.exporter.get("/-/healthy").status, 200);
}

#[test]
fn the_state_is_opened_again_after_a_panic() {
    let scene = Scene::start("");
    append(&scene.log("app"), LINE);
    eventually("the line", || scene.lines("app") == 1.0);
    let Scene { dir, mut exporter } = scene;
    exporter.stop(Signal::TERM);
    std::fs::write(dir.path().join("faults/state-open"), "").unwrap();
    let mut command = exporter_command();
    command
        .arg(format!("--config.file={}", dir.path().join("telltale.yml").display()))
        .arg("--web.listen-address=127.0.0.1:0")
        .env(FAULTS, dir.path().join("faults"));
    let exporter = Exporter::run_in(dir.path(), command);
    let scene = Scene { dir, exporter };
    assert_eq!(scene.lines("app"), 1.0, "it was read after all");
    assert_eq!(panics(&scene.exporter.scrape(), "state"), 1.0);
}

#[test]
fn a_name_that_cannot_be_asked_for_is_a_number() {
    if !need(&[Need::Root]) {
        return;
    }
    let scene = Scene::start("");
    let mut load = None;
    scene.panicked("names", "names", || {
        let uid = free_uid().to_string();
        load.get_or_insert_with(|| Load::start(&["--uid", &uid, "fork", "1"]));
    });
    let uid = free_uid();
    let _load = Load::start(&["--uid", &uid.to_string(), "fork", "1"]);
    assert_eq!(scene.exporter.scrape().user("tasks", uid, ""), Some(2.0));
}

#[test]
fn what_asks_for_the_audit_status_panics_and_goes_on() {
    let Some(_audit) = AuditScene::start() else { return };
    auditctl("-e 1");
    let scene = Scene::start("    - {name: events, audit_multicast: true}\n");
    let success = "telltale_scrape_collector_success{collector=\"audit\"}";
    let works = || scene.exporter.scrape_path("/metrics?collect[]=audit").value(success) == 1.0;
    eventually("the status is told", works);
    for thread in ["audit-link", "audit-ask", "audit-answers", "audit-schedule"] {
        scene.panicked(thread, thread, || {});
        eventually(&format!("the status is told after a panic of {thread}"), works);
    }
    let event = || auditctl("-m telltale");
    eventually("the events are listened to", || {
        event();
        scene.lines("events") > 0.0
    });
    scene.panicked("audit-listen", "audit-listen", || drop(event()));
    eventually("they are listened to again", || scene.up("events") == 1.0);
    scene.panicked("records", "log-events", || drop(event()));
    eventually("they are counted again", || scene.up("events") == 1.0);
    let before = scene.lines("events");
    eventually("further ones too", || {
        event();
        scene.lines("events") > before
    });
    assert!(!scene.exporter.log().contains("has ended"), "{}", scene.exporter.log());
}

/// With it nothing of this would work, and no test that unwinds would tell.
#[test]
fn no_profile_aborts_on_a_panic() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("Cargo.toml")];
    files.extend([".cargo/config.toml", ".cargo/config"].map(|name| root.join(name)));
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let abort = text.lines().find(|line| {
            let line: String = line.chars().filter(|char| !char.is_whitespace()).collect();
            line.starts_with("panic=") || line.contains("panic=abort")
        });
        assert_eq!(abort, None, "{}", file.display());
    }
    // And the library refuses to be built with it, whoever asks for it.
    let source = std::fs::read_to_string(root.join("src/supervised.rs")).unwrap();
    assert!(source.contains("#[cfg(not(panic = \"unwind\"))]\ncompile_error!"));
}
