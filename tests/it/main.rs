//! Everything that needs the real binary, a real kernel or real neighbours.
//!
//! `tests/run` runs all of it; `cargo test NAME` runs one. A test that needs root or a tool
//! says so through [`common::need`]: without it the test is skipped aloud, or fails where
//! `TELLTALE_REQUIRE_ALL=1` is set.
#![allow(unreachable_pub, reason = "nobody uses a program as a library")]
#![allow(clippy::float_cmp, reason = "counts come through the text format unchanged")]

mod audit_events;
mod check;
mod cli;
mod common;
mod contract;
mod documents;
mod end_to_end;
mod exhausted;
mod golden;
mod host;
mod http;
mod imports;
mod journal_files;
mod kills;
mod live_audit;
mod live_audit_refused;
mod live_cgroups;
mod live_compressed;
mod live_directories;
mod live_foreign;
mod live_handover;
mod live_journal;
mod live_kills;
mod live_kmsg;
mod live_links;
mod live_log_bytes;
mod live_log_names;
mod live_logins;
mod live_logrotate;
mod live_logs;
mod live_names;
mod live_namespaces;
mod live_overlay;
mod live_pods;
mod live_records;
mod live_replaced;
mod live_rotation;
mod live_sources;
mod live_state;
mod live_unseen_ceilings;
mod live_users;
mod live_views;
mod prometheus;
mod reload;
mod scan;
mod scan_events;
mod scan_headers;
mod supervised;
mod unseen;
