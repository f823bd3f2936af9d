//! What the path of a cgroup says of who made it: the unit, the pod, the container and its runtime.
//!
//! These names are habits of the programs, not of the kernel: systemd's units (systemd.slice(5)), the
//! kubelet's pods with either of its cgroup drivers, the runtimes' scopes.

use std::path::{Component, Path, PathBuf};

/// Labels of `telltale_cgroup_info`; empty where the path does not say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// The innermost systemd unit.
    pub unit: String,
    /// As the API server has it, with dashes.
    pub pod_uid: String,
    /// The id, or for LXC and machines the name.
    pub container_id: String,
    pub runtime: &'static str,
}

/// How runtimes name the scope of a container.
const SCOPES: [(&str, &str); 5] = [
    ("docker-", "docker"),
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("crio-", "cri-o"),
    ("libpod-", "podman"),
];

/// Groups that hold those of others, beside slices: nobody's own.
const HOLDERS: [&str; 12] = [
    "kubepods",
    "burstable",
    "besteffort",
    "guaranteed",
    "docker",
    "lxc",
    "lxc.payload",
    "lxc.monitor",
    "libpod_parent",
    "machine",
    "containerd",
    "nomad",
];

/// What the path, from the root of the hierarchy, says.
pub(super) fn identify(path: &Path) -> Identity {
    let mut found = Identity::default();
    let mut parent = String::new();
    let mut in_kubepods = false;
    for part in path.components() {
        let Component::Normal(name) = part else { continue };
        let name = name.to_string_lossy();
        // The systemd driver of the kubelet writes `SLICE:PREFIX:ID` where no systemd answers.
        for name in
            name.split_once(".slice:").map_or(vec![&*name], |(slice, rest)| vec![slice, rest])
        {
            in_kubepods |= name.contains("kubepods");
            if is_unit(name) {
                name.clone_into(&mut found.unit);
            }
            if let Some(uid) = pod_uid(name).filter(|_| in_kubepods) {
                found.pod_uid = uid;
            } else if let Some((id, runtime)) = container(name, &parent) {
                found.container_id = id;
                found.runtime = runtime;
            }
            name.clone_into(&mut parent);
        }
    }
    found
}

/// To whom a cgroup belongs: the outermost group on its path that is not there for several, such as
/// `system.slice/ssh.service`, `user.slice/user-500.slice`, a pod or a container. Whoever may make groups
/// below its own makes them below this one.
pub(crate) fn owner(path: &Path) -> PathBuf {
    let mut owner = PathBuf::new();
    for part in path.components() {
        owner.push(part);
        let Component::Normal(name) = part else { continue };
        let name = name.to_string_lossy();
        let of_user = name.strip_prefix("user-").and_then(|rest| rest.strip_suffix(".slice"));
        let of_user = of_user.is_some_and(|uid| uid.bytes().all(|byte| byte.is_ascii_digit()));
        let holds_others = HOLDERS.contains(&&*name)
            || (name.ends_with(".slice") && !of_user && pod_uid(&name).is_none());
        if !holds_others {
            return owner;
        }
    }
    owner
}

fn is_unit(name: &str) -> bool {
    [".service", ".scope", ".slice", ".socket", ".mount", ".swap"]
        .iter()
        .any(|ending| name.len() > ending.len() && name.ends_with(ending))
}

/// `kubepods-burstable-podUID.slice` with `_` for `-`, or `podUID`.
fn pod_uid(name: &str) -> Option<String> {
    let name = name.strip_suffix(".slice").unwrap_or(name);
    let uid = match name.strip_prefix("pod") {
        Some(uid) => uid,
        None => name.rsplit_once("-pod")?.1,
    };
    let fits = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b'-' | b'_');
    (!uid.is_empty() && uid.bytes().all(fits)).then(|| uid.replace('_', "-"))
}

/// The container that has this group below that one.
fn container(name: &str, parent: &str) -> Option<(String, &'static str)> {
    let scope = name.strip_suffix(".scope");
    for (prefix, runtime) in SCOPES {
        let id = scope.unwrap_or(name).strip_prefix(prefix);
        // conmon stands beside the container, in a group of its own.
        if let Some(id) = id.filter(|id| !id.is_empty() && !id.starts_with("conmon"))
            && (scope.is_some() || is_id(id))
        {
            return Some((id.to_owned(), runtime));
        }
    }
    if let Some(id) = name.strip_prefix("cri-containerd:") {
        return Some((id.to_owned(), "containerd"));
    }
    if let Some(machine) = scope.and_then(|scope| scope.strip_prefix("machine-")) {
        let runtime = if machine.starts_with("qemu") { "libvirt" } else { "nspawn" };
        return Some((unescape(machine), runtime));
    }
    if let Some(machine) = name.strip_prefix("systemd-nspawn@") {
        return Some((unescape(machine.strip_suffix(".service")?), "nspawn"));
    }
    if let Some(name) = name.strip_prefix("lxc.payload.") {
        return Some((name.to_owned(), "lxc"));
    }
    match parent {
        "lxc" | "lxc.payload" => Some((name.to_owned(), "lxc")),
        "docker" if is_id(name) => Some((name.to_owned(), "docker")),
        // The kubelet's cgroupfs driver: which runtime it is, the path does not say.
        _ if pod_uid(parent).is_some() && is_id(name) => Some((name.to_owned(), "")),
        _ => None,
    }
}

fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Undoes systemd's `\x2d` in names of units (systemd.unit(5)).
fn unescape(name: &str) -> String {
    let mut plain = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let code = rest
            .strip_prefix(b"\\x")
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex.get(..2)?).ok()?, 16).ok());
        plain.push(code.unwrap_or(byte));
        rest = if code.is_some() { &rest[4..] } else { tail };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4f1c0de5a9b8f7e6d5c4b3a2918070605f4e3d2c1b0a99887766554433221100";
    const POD: &str = "0f3a1c2d-1111-2222-3333-444455556666";

    #[test]
    fn paths_of_the_usual_makers() {
        let pod = POD.replace('-', "_");
        let slice = format!("kubepods-burstable-pod{pod}.slice");
        let below = format!("kubepods.slice/kubepods-burstable.slice/{slice}");
        let cases = [
            (
                format!("{below}/cri-containerd-{ID}.scope"),
                &*format!("cri-containerd-{ID}.scope"),
                POD,
                ID,
                "containerd",
            ),
            (format!("{below}/crio-{ID}.scope"), &*format!("crio-{ID}.scope"), POD, ID, "cri-o"),
            (
                format!("{below}/crio-conmon-{ID}.scope"),
                &*format!("crio-conmon-{ID}.scope"),
                POD,
                "",
                "",
            ),
            (below.clone(), &*slice, POD, "", ""),
            (
                format!("kubepods.slice/kubepods-pod{pod}.slice"),
                &*format!("kubepods-pod{pod}.slice"),
                POD,
                "",
                "",
            ),
            (format!("kubepods/besteffort/pod{POD}/{ID}"), "", POD, ID, ""),
            (format!("{slice}:cri-containerd:{ID}"), "", POD, ID, "containerd"),
            (format!("docker/{ID}"), "", "", ID, "docker"),
            (format!("docker/{ID}/init"), "", "", ID, "docker"),
            (
                format!("system.slice/docker-{ID}.scope"),
                &*format!("docker-{ID}.scope"),
                "",
                ID,
                "docker",
            ),
            (
                format!("machine.slice/libpod-{ID}.scope/container"),
                &*format!("libpod-{ID}.scope"),
                "",
                ID,
                "podman",
            ),
            (format!("libpod_parent/libpod-{ID}"), "", "", ID, "podman"),
            ("lxc.payload.web/init.scope".to_owned(), "init.scope", "", "web", "lxc"),
            ("lxc/101/ns".to_owned(), "", "", "101", "lxc"),
            (
                "machine.slice/systemd-nspawn@db.service".to_owned(),
                "systemd-nspawn@db.service",
                "",
                "db",
                "nspawn",
            ),
            (
                r"machine.slice/machine-old\x2dhost.scope".to_owned(),
                r"machine-old\x2dhost.scope",
                "",
                "old-host",
                "nspawn",
            ),
            (
                r"machine.slice/machine-qemu\x2d1\x2dwin.scope".to_owned(),
                r"machine-qemu\x2d1\x2dwin.scope",
                "",
                "qemu-1-win",
                "libvirt",
            ),
            ("user.slice/user-500.slice/session-7.scope".to_owned(), "session-7.scope", "", "", ""),
            (
                "user.slice/user-5.slice/user@5.service/app.slice/x.service/y".to_owned(),
                "x.service",
                "",
                "",
                "",
            ),
            ("system.slice/ssh.service".to_owned(), "ssh.service", "", "", ""),
            ("telltale-1/podium".to_owned(), "", "", "", ""),
            (String::new(), "", "", "", ""),
        ];
        for (path, unit, pod_uid, container_id, runtime) in cases {
            let found = identify(Path::new(&path));
            let expected = (unit, pod_uid, container_id, runtime);
            let found = (&*found.unit, &*found.pod_uid, &*found.container_id, found.runtime);
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn a_pod_and_a_user_own_what_is_below_them() {
        let cases = [
            ("kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0_1.slice/a.scope", 3),
            ("kubepods/burstable/pod01/aa", 3),
            ("user.slice/user-7.slice/session-1.scope/x", 2),
            ("user.slice/user-7.slice", 2),
            ("system.slice/ssh.service/x/y", 2),
            ("system.slice/system-getty.slice/getty@tty1.service/x", 3),
            ("docker/aa/docker/bb", 2),
            ("machine.slice/machine-a.scope/x", 2),
            ("build/x/y", 1),
            ("system.slice", 1),
        ];
        for (path, depth) in cases {
            let expected: PathBuf = Path::new(path).components().take(depth).collect();
            assert_eq!(owner(Path::new(path)), expected, "{path}");
        }
    }
}
