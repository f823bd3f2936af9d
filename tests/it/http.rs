//! What it answers over HTTP, to the well-meaning and the others.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use super::common::exporter::request_head;
use super::common::{Exporter, Need, eventually, need};
use super::host::{Host, PROCESS, Process};

#[test]
fn metrics_in_text_format_and_gzip() {
    let exporter = Exporter::start(&[]);
    let plain = exporter.get("/metrics");
    assert!(plain.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"));
    assert!(!plain.head.contains("content-encoding"));
    let zipped = exporter.request("/metrics", &["Accept-Encoding: deflate, gzip"]);
    assert!(zipped.head.contains("content-encoding: gzip"), "{}", zipped.head);
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*zipped.body).read_to_string(&mut text).unwrap();
    assert!(text.contains("# TYPE telltale_user_tasks gauge\n"));
    assert!(zipped.body.len() * 3 < text.len());
}

#[test]
fn collect_and_exclude() {
    let exporter = Exporter::start(&[]);
    let families = |path: &str| exporter.scrape_path(path).families;
    let only = families("/metrics?collect[]=host");
    assert!(only.contains_key("telltale_host_tasks") && !only.contains_key("telltale_user_tasks"));
    let both = families("/metrics?collect[]=host&collect%5B%5D=users");
    assert!(both.contains_key("telltale_host_tasks") && both.contains_key("telltale_user_tasks"));
    let except = families("/metrics?exclude[]=host");
    assert!(!except.contains_key("telltale_host_tasks") && except.contains_key("process_threads"));
    for (path, says) in [
        ("/metrics?collect[]=nonsense", "no collector 'nonsense' is on; there are: audit, cgroups"),
        ("/metrics?collect[]=host&exclude[]=users", "not both"),
    ] {
        let response = exporter.get(path);
        assert_eq!(response.status, 400);
        assert!(response.text().contains(says), "{}", response.text());
    }
}

#[test]
fn other_paths_and_methods() {
    let exporter = Exporter::start(&["--web.telemetry-path=/probe"]);
    assert!(exporter.get("/probe").text().contains("telltale_"));
    assert_eq!(exporter.get("/-/healthy").text(), "telltale_exporter is healthy.\n");
    assert_eq!(exporter.get("/-/ready").text(), "telltale_exporter is ready.\n");
    let missing = exporter.get("/metrics");
    assert_eq!(missing.status, 404);
    assert!(missing.text().contains("/probe"));
    assert_eq!(exporter.send(&request_head("POST", "/probe", &["Content-Length: 0"])).status, 405);
    let head = exporter.send(&request_head("HEAD", "/probe", &[]));
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn the_page_is_html_for_browsers_and_text_for_curl() {
    let exporter = Exporter::start(&[]);
    let html = exporter.request("/", &["Accept: text/html,application/xhtml+xml"]);
    assert!(html.head.contains("content-type: text/html; charset=utf-8"));
    assert!(html.head.contains("content-security-policy: default-src 'none'"));
    assert!(html.text().contains("<td>root</td>") && html.text().contains("href=\"/metrics\""));
    let text = exporter.request("/", &["Accept: */*"]).text();
    for word in ["Collectors", "cgroups", "host", "process", "users", "root", "/metrics"] {
        assert!(text.contains(word), "{word}\n{text}");
    }
}

#[test]
fn a_failing_collector_is_shown_and_the_others_go_on() {
    let mut host = Host::empty();
    host.add(PROCESS);
    std::fs::remove_file(host.path("proc/sys/kernel/pid_max")).unwrap();
    let flags = host.flags();
    let exporter = Exporter::start(&flags.each_ref().map(String::as_str));
    let success =
        |collector| format!("telltale_scrape_collector_success{{collector=\"{collector}\"}}");
    let scrape = exporter.scrape();
    assert_eq!(scrape.value(&success("host")), 0.0);
    assert_eq!(scrape.value(&success("users")), 1.0);
    assert_eq!(scrape.value("telltale_user_tasks{user=\"root\",uid=\"0\"}"), 1.0);
    // What the kernel did give is there, what it did not is absent.
    assert_eq!(scrape.value("telltale_host_tasks_limit{ceiling=\"threads_max\"}"), 62832.0);
    assert_eq!(scrape.get("telltale_host_tasks_limit{ceiling=\"pid_max\"}"), None);
    let page = exporter.get("/").text();
    let line = page.lines().find(|line| line.starts_with("  host ")).unwrap();
    assert!(line.contains("failing") && line.contains("pid_max: No such file"), "{line}");

    host.file("proc/sys/kernel/pid_max", "32768\n");
    assert_eq!(exporter.scrape().value(&success("host")), 1.0);
    let log = exporter.log();
    assert_eq!(log.matches("collector fails").count(), 1, "{log}");
    assert_eq!(log.matches("collector works again").count(), 1, "{log}");
}

#[test]
fn a_state_that_nobody_is_in_is_absent_but_for_those_that_rules_ask_for() {
    let mut host = Host::empty();
    host.add(PROCESS);
    let flags = host.flags();
    let exporter = Exporter::start(&flags.each_ref().map(String::as_str));
    let states = || {
        let scrape = exporter.scrape();
        ["running", "sleeping", "disk_sleep", "stopped", "zombie", "idle", "other"].map(|state| {
            scrape.get(&format!(
                "telltale_user_processes{{user=\"root\",uid=\"0\",state=\"{state}\"}}"
            ))
        })
    };
    assert_eq!(states(), [Some(0.0), Some(1.0), Some(0.0), None, Some(0.0), None, None]);
    let mut added = Vec::new();
    for state in
        ["T (stopped)", "t (tracing stop)", "I (idle)", "X (dead)", "Z (zombie)", "R (running)"]
    {
        added.push(host.add(Process { state, ..PROCESS }));
    }
    let all = [Some(1.0), Some(1.0), Some(0.0), Some(2.0), Some(1.0), Some(1.0), Some(1.0)];
    assert_eq!(states(), all);
    for pid in added {
        std::fs::remove_dir_all(host.path(&format!("proc/{pid}"))).unwrap();
    }
    assert_eq!(states(), [Some(0.0), Some(1.0), Some(0.0), None, Some(0.0), None, None]);
}

/// A FIFO in place of a file makes the reader wait for ever, as a dead disk would.
#[test]
fn a_hanging_collector_costs_its_bound_once_and_the_others_nothing() {
    if !need(&[Need::Tool("mkfifo")]) {
        return;
    }
    let mut host = Host::empty();
    host.add(PROCESS);
    std::fs::remove_file(host.path("proc/loadavg")).unwrap();
    let fifo = host.path("proc/loadavg");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let flags = host.flags();
    let start = || Exporter::start(&flags.each_ref().map(String::as_str));
    let timed = |exporter: &Exporter, headers: &[&str]| {
        let started = Instant::now();
        let text = exporter.request("/metrics", headers).text();
        (super::common::Scrape::parse(&text), started.elapsed())
    };
    let failed = "telltale_scrape_collector_success{collector=\"host\"}";
    let works = "telltale_scrape_collector_success{collector=\"users\"}";
    // Prometheus says how long it will wait, and gets the others within that.
    let mut exporter = start();
    eventually("an answer within the time that Prometheus waits", || {
        exporter = start();
        let (scrape, took) = timed(&exporter, &["X-Prometheus-Scrape-Timeout-Seconds: 2"]);
        assert_eq!(scrape.value(failed), 0.0);
        took < Duration::from_secs(2) && scrape.value(works) == 1.0
    });
    // Without that the bound of 5 s holds, counted from the start of the run that hangs.
    let (scrape, _) = timed(&exporter, &[]);
    assert_eq!((scrape.value(failed), scrape.value(works)), (0.0, 1.0));
    // From then on it costs nothing.
    eventually("an answer at once", || {
        let (scrape, took) = timed(&exporter, &[]);
        assert_eq!((scrape.value(failed), scrape.value(works)), (0.0, 1.0));
        took < Duration::from_secs(2)
    });
    let scrape = exporter.scrape();
    assert!(scrape.value("telltale_scrape_collector_duration_seconds{collector=\"host\"}") >= 5.0);
    // Its reader is let go: it works again.
    std::fs::write(&fifo, "0.42 0.36 0.30 2/641 4242\n").unwrap();
    std::fs::remove_file(&fifo).unwrap();
    host.file("proc/loadavg", "0.42 0.36 0.30 2/641 4242\n");
    eventually("host works again", || exporter.scrape().value(failed) == 1.0);
}

#[test]
fn scrapes_side_by_side_all_answer() {
    let exporter = Exporter::start(&[]);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let scrape = exporter.scrape();
                    assert!(scrape.value("telltale_user_tasks{user=\"root\",uid=\"0\"}") >= 1.0);
                }
            });
        }
    });
}

#[test]
fn nonsense_is_refused_and_serving_goes_on() {
    let exporter = Exporter::start(&[]);
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"GET /%00\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"",
    ] {
        let mut stream = TcpStream::connect(exporter.address).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // Whatever the answer, the connection ends.
        let _ = stream.read_to_end(&mut Vec::new()).unwrap();
    }
    let long = format!("X-Long: {}", "x".repeat(100_000));
    let mut stream = TcpStream::connect(exporter.address).unwrap();
    // It may be refused before we are done sending.
    let _ = stream.write_all(&request_head("GET", "/metrics", &[&long]));
    let _ = stream.read_to_end(&mut Vec::new());
    assert_eq!(exporter.get("/metrics").status, 200);
}

#[test]
fn silent_clients_however_many_do_not_lock_others_out() {
    let exporter = Exporter::start(&[]);
    // More than there may be connections; some say half a request.
    let silent: Vec<_> = (0..600)
        .map(|nth| {
            let mut stream = TcpStream::connect(exporter.address).unwrap();
            if nth % 2 == 0 {
                // It may be ended already to make room.
                let _ = stream.write_all(b"GET /m");
            }
            stream
        })
        .collect();
    let started = Instant::now();
    assert_eq!(exporter.get("/metrics").status, 200);
    // Silent ones are ended after 20 s.
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    drop(silent);
}

#[test]
fn runbooks_are_read_from_the_binary() {
    let exporter = Exporter::start(&[]);
    let page = exporter.get("/runbooks/TelltaleUserCannotFork");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("## Fix it now") && page.text().contains("한국어"));
    let other = exporter.get("/runbooks/TelltaleOfNobody");
    assert_eq!(other.status, 404);
    assert!(other.text().contains("/runbooks/TelltaleOomKill"), "{}", other.text());
    assert!(exporter.get("/runbooks").text().lines().count() > 30);
    let url = format!("telltale_exporter_page_info{{url=\"http://{}/\"}}", exporter.address);
    assert_eq!(exporter.scrape().get(&url), Some(1.0));
}
