//! A log such as a busy host writes, made from a number: the same number, the same log.

use std::fmt::Write as _;

/// Lines of daemons that nobody has to look at; `{}` stands for what differs.
const USUAL: [&str; 20] = [
    "sshd[{pid}]: Postponed publickey for deploy{n} from 192.0.2.{n} port {pid} ssh2 [preauth]",
    "sshd[{pid}]: Starting session: command for deploy{n} from 192.0.2.{n} port {pid} id 0",
    "systemd[1]: session-{pid}.scope: Deactivated successfully.",
    "systemd[1]: Finished apt-daily-upgrade.service - Daily apt upgrade and clean activities, run {n}.",
    "kernel: [{pid}.{n}] eth0: renamed from veth{hex}, link becomes ready {n}",
    "kernel: [{pid}.{n}] docker0: port {n}(veth{hex}): carrier change {n}",
    "kernel: [{pid}.{n}] [UFW ALLOW] IN=eth0 OUT= MAC=52:54:00:{n}:5b:4a SRC=192.0.2.{n} DST=192.0.2.1 LEN=60 TOS=0x00 PREC=0x00 TTL=58 ID={pid} DF PROTO=TCP SPT={pid} DPT=443 WINDOW=64240 RES=0x00 SYN URGP=0",
    "audit[{pid}]: CRED_ACQ pid={pid} uid=0 auid=4294967295 ses=4294967295 subj=unconfined msg='op=PAM:setcred grantors=pam_permit acct=\"deploy{n}\" exe=\"/usr/sbin/sshd\" hostname=192.0.2.{n} addr=192.0.2.{n} terminal=ssh res=success'",
    "dockerd[{pid}]: time=\"2026-11-20T05:08:32.{pid}Z\" level=info msg=\"ignoring event\" container={hex}{hex}{hex} module=libcontainerd namespace=moby topic=/tasks/delete type=\"*events.TaskDelete\"",
    "containerd[{pid}]: time=\"2026-11-20T05:08:32.{pid}Z\" level=info msg=\"starting signal loop\" path=/run/containerd/{hex}{hex} namespace=k8s.io",
    "kubelet[{pid}]: I1120 05:08:32.{pid} {pid} kubelet.go:2205] \"SyncLoop (PLEG): event for pod\" pod=\"shop/cart-{hex}-{n}\" event={ID:{hex} Type:ContainerStarted",
    "kubelet[{pid}]: I1120 05:08:33.{pid} {pid} operation_generator.go:631] \"MountVolume.SetUp succeeded for volume\" pod=\"shop/cart-{hex}-{n}\" volumeName=\"config\"",
    "nginx: 192.0.2.{n} - - [20/Nov/2026:05:08:33 +0000] \"GET /api/v1/items/{pid}?page={n} HTTP/1.1\" 200 {pid} \"https://shop.example/cart\" \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\" rt=0.{n}",
    "haproxy[{pid}]: 192.0.2.{n}:{pid} [20/Nov/2026:05:08:34.{n}] front~ back/web{n} 0/0/1/{n}/{n} 200 {pid} - - ---- {n}/{n}/0/0/0 0/0 \"GET /health HTTP/1.1\"",
    "postfix/smtpd[{pid}]: disconnect from unknown[192.0.2.{n}] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
    "postfix/qmgr[{pid}]: {hex}: from=<shop@example.com>, size={pid}, nrcpt=1 (queue active)",
    "dhclient[{pid}]: DHCPACK of 192.0.2.{n} from 192.0.2.1 (xid=0x{hex})",
    "NetworkManager[{pid}]: <info>  [17636{pid}.{n}] dhcp4 (eth0): state changed new lease, address=192.0.2.{n}",
    "dbus-daemon[{pid}]: [system] Successfully activated service 'org.freedesktop.hostname1'",
    "app[{pid}]: INFO  [http-nio-8080-exec-{n}] com.example.shop.CartService - order {pid} of customer {hex} priced in {n} ms, {n} items",
];

/// Numbers that look like chance.
pub struct Numbers(u64);

impl Numbers {
    /// xorshift64 (Marsaglia 2003); the seed is not 0.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn usual(numbers: &mut Numbers) -> String {
    let template = one(&USUAL, numbers);
    let mut text = String::new();
    for (nth, piece) in template.split('{').enumerate() {
        let written = match (nth, piece.split_once('}')) {
            (1.., Some(("pid", rest))) => write!(text, "{}{rest}", 1000 + numbers.draw() % 90_000),
            (1.., Some(("n", rest))) => write!(text, "{}{rest}", numbers.draw() % 250),
            (1.., Some(("hex", rest))) => write!(text, "{:010x}{rest}", numbers.draw() >> 24),
            (0, _) => write!(text, "{piece}"),
            (_, _) => write!(text, "{{{piece}"),
        };
        written.unwrap();
    }
    text
}

/// One of them.
pub fn one<'t, T>(of: &'t [T], numbers: &mut Numbers) -> &'t T {
    &of[usize::try_from(numbers.draw() % of.len() as u64).unwrap()]
}

/// A log of at least `size` bytes of which every `every`th line is one of `known`, in its syslog form;
/// and how many lines it has.
pub fn log(size: usize, every: u64, known: &[String], numbers: &mut Numbers) -> (Vec<u8>, u64) {
    let (mut log, mut lines) = (Vec::with_capacity(size + 1024), 0);
    while log.len() < size {
        lines += 1;
        let second = lines / 1000;
        let time = format!(
            "Nov {:2} {:02}:{:02}:{:02}",
            1 + second / 86_400 % 28,
            second / 3600 % 24,
            second / 60 % 60,
            second % 60
        );
        let text = if lines % every == 0 { one(known, numbers).clone() } else { usual(numbers) };
        log.extend_from_slice(format!("{time} web04 {text}\n").as_bytes());
    }
    (log, lines)
}
