//! What a confined program may do: open its folder, its inputs and the system's own files; nothing
//! of the network, of other processes, of root's rights.
//!
//! Four walls, each as high as the system allows. Namespaces give the program a `/dev/shm` of its
//! own and a network in which nobody is. Landlock refuses every file that is not allowed, and, from
//! later versions on, TCP, signals and abstract sockets beyond the program. A filter refuses the
//! calls by which a process reaches into others, or into keys of the user (seccomp). And it has no
//! capabilities and can gain none, whoever runs it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::process::{getegid, geteuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, UnshareFlags, set_capabilities, set_no_new_privs,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use serde::{Deserialize, Serialize};

use crate::base::disk;

/// Folders of the system: programs, libraries, settings. What a stage's result depends on besides
/// its key is here.
const SYSTEM: [&str; 14] = [
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/nix", "/snap", "/proc",
    "/sys", "/run", "/var/lib",
];
/// Devices that hold nothing, and those that compute. Disks and terminals are devices too: they are
/// not here.
const DEVICES: [&str; 9] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/dri",
    "/dev/kfd",
    "/dev/infiniband",
    "/dev/accel",
];
/// What the files of a maker's devices begin with.
const NVIDIA: &str = "nvidia";
/// Where shared memory lies.
const SHARED_MEMORY: &str = "/dev/shm";
/// The latest rights that are known of.
const RIGHTS: ABI = ABI::V6;

/// What a program is kept from, besides what every confined program is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// What it may read besides.
    pub reads: Vec<String>,
    /// Whether it may use the network.
    pub network: bool,
}

/// What the namespaces of this process give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespaces {
    /// Whether mounts are seen by nobody else.
    has_mounts: bool,
}

impl Namespaces {
    /// Moves this process, which has one thread, into namespaces of its own: for mounts, and for
    /// the network unless it is to be used. Where the system does not allow that, nothing happens.
    pub fn enter(network: bool) -> Self {
        let wanted = if network {
            UnshareFlags::NEWNS
        } else {
            UnshareFlags::NEWNS | UnshareFlags::NEWNET
        };
        let (user, group) = (geteuid().as_raw(), getegid().as_raw());
        let is_in =
            unshare(wanted) || unshare(UnshareFlags::NEWUSER | wanted) && map_ids(user, group);
        let alone = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        Self {
            has_mounts: is_in && mount_change("/", alone).is_ok(),
        }
    }

    /// Gives the next program, which works in `folder`, shared memory of its own, at most so many
    /// bytes; returns whether it is there. Where the workspace itself lies in shared memory it
    /// would be hidden: then the program has none.
    fn renew_shared_memory(self, folder: &Path, most: Option<u64>) -> bool {
        if !self.has_mounts || folder.starts_with(SHARED_MEMORY) {
            return false;
        }
        // That of the program before; the first one has none.
        let _ = unmount(SHARED_MEMORY, UnmountFlags::DETACH);
        let size = most.map_or_else(|| "50%".to_owned(), |bytes| bytes.to_string());
        let data = std::ffi::CString::new(format!("mode=1777,size={size}")).unwrap_or_default();
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount(
            "tmpfs",
            SHARED_MEMORY,
            "tmpfs",
            flags,
            Some(data.as_c_str()),
        )
        .is_ok()
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe for the sake of file descriptors, which are not unshared here"
)]
fn unshare(flags: UnshareFlags) -> bool {
    rustix::thread::unshare(flags).is_ok()
}

/// In a user namespace everybody keeps the number they have.
fn map_ids(user: u32, group: u32) -> bool {
    let write = |file: &str, text: String| {
        disk::overwrite(Path::new(&format!("/proc/self/{file}")), text.as_bytes())
    };
    let _ = write("setgroups", "deny".to_owned());
    write("uid_map", format!("{user} {user} 1")).is_ok()
        && write("gid_map", format!("{group} {group} 1")).is_ok()
}

/// Returns whether the system can keep a program from files at all.
pub fn is_possible() -> bool {
    static POSSIBLE: OnceLock<bool> = OnceLock::new();
    *POSSIBLE.get_or_init(|| {
        // A thread of its own: it is confined for good.
        let tried = std::thread::spawn(|| {
            let rules = Ruleset::default()
                .handle_access(AccessFs::from_all(ABI::V1))
                .and_then(Ruleset::create);
            rules
                .and_then(|rules| rules.restrict_self())
                .is_ok_and(|done| done.ruleset != RulesetStatus::NotEnforced)
        });
        tried.join().unwrap_or(false)
    })
}

/// Confines the calling thread, and every program it starts, for good. Folders that are not there
/// are left out; where the system cannot confine, only root's rights are given up.
///
/// # Errors
/// The system refused.
pub fn confine(
    folder: &Path,
    confinement: &Confinement,
    namespaces: Namespaces,
    memory: Option<u64>,
) -> Result<(), RulesetError> {
    let shares_memory = namespaces.renew_shared_memory(folder, memory);
    // Shared memory and queues that have numbers rather than names; they go with the program.
    let _ = unshare(UnshareFlags::NEWIPC);
    let (all, read) = (AccessFs::from_all(RIGHTS), AccessFs::from_read(RIGHTS));
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?;
    if !confinement.network {
        rules = rules.handle_access(AccessNet::from_all(RIGHTS))?;
    }
    let mut rules = rules.scope(Scope::from_all(RIGHTS))?.create()?;
    for (opened, access) in SYSTEM_PLACES.get_or_init(|| system_places(folder)) {
        rules = rules.add_rule(PathBeneath::new(opened, *access))?;
    }
    let readable = confinement.reads.iter().map(|path| (Path::new(path), read));
    let shared = shares_memory.then(|| (Path::new(SHARED_MEMORY), all));
    for (opened, access) in readable
        .chain(shared)
        .chain([(folder, all)])
        .filter_map(|(path, access)| opened(path, access))
    {
        rules = rules.add_rule(PathBeneath::new(opened, access))?;
    }
    // In this order: a thread without capabilities may confine itself only if it cannot gain any.
    let _ = set_no_new_privs(true);
    let nothing = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    let _ = set_capabilities(None, nothing);
    rules.restrict_self()?;
    // Where there is no such filter, the other walls stand all the same.
    let _ = calls_filter().map(|filter| seccompiler::apply_filter(filter));
    Ok(())
}

/// What of the system is open to every program of this process, opened once: all of them are of one
/// workspace.
static SYSTEM_PLACES: OnceLock<Vec<(PathFd, BitFlags<AccessFs>)>> = OnceLock::new();

/// Opens the system's folders for reading, but for the way to the workspace and its cache, and
/// devices. A scratch folder lies four levels below the workspace, `cache/tmp/RUN/NUMBER`; the
/// cache may lie elsewhere, by a link.
fn system_places(folder: &Path) -> Vec<(PathFd, BitFlags<AccessFs>)> {
    let resolved = |path: &Path| disk::absolute(path).unwrap_or_else(|_| path.to_owned());
    let workspace = folder.ancestors().nth(4).map(resolved);
    let cache = resolved(folder).ancestors().nth(3).map(Path::to_owned);
    let hidden: Vec<PathBuf> = workspace.into_iter().chain(cache).collect();
    let mut places: Vec<(PathBuf, BitFlags<AccessFs>)> = Vec::new();
    for system in SYSTEM {
        around(Path::new(system), &hidden, &mut |path| {
            places.push((path.to_owned(), AccessFs::from_read(RIGHTS)))
        });
    }
    let is_nvidia = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(NVIDIA))
    };
    let makers = disk::list(Path::new("/dev"))
        .unwrap_or_default()
        .into_iter()
        .filter(is_nvidia);
    let devices = DEVICES.iter().map(PathBuf::from).chain(makers);
    places.extend(devices.map(|path| (path, AccessFs::from_all(RIGHTS))));
    places
        .iter()
        .filter_map(|(path, access)| opened(path, *access))
        .collect()
}

/// Opens a place that is there, with the rights that are to be had of it: of a file only what
/// concerns files can be allowed.
fn opened(path: &Path, access: BitFlags<AccessFs>) -> Option<(PathFd, BitFlags<AccessFs>)> {
    let access = if path.is_dir() {
        access
    } else {
        access & AccessFs::from_file(RIGHTS)
    };
    Some((PathFd::new(path).ok()?, access))
}

/// Goes to a folder of the system; of one that something hidden lies in, to everything in it but
/// the way there.
fn around(folder: &Path, hidden: &[PathBuf], visit: &mut dyn FnMut(&Path)) {
    let resolved = disk::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    if hidden.contains(&resolved) {
        return;
    }
    if !hidden.iter().any(|hidden| hidden.starts_with(&resolved)) {
        return visit(folder);
    }
    disk::list(&resolved)
        .unwrap_or_default()
        .iter()
        .for_each(|inner| around(inner, hidden, visit));
}

/// Calls that reach into another process if the number of one is given, with the place of the
/// number: its limits, its memory. Those for priorities and cores are let through: they are given
/// the numbers of a program's own threads.
const OF_OTHERS: [(i64, u8); 3] = [
    (libc::SYS_prlimit64, 0),
    (libc::SYS_migrate_pages, 0),
    (libc::SYS_move_pages, 0),
];
/// Calls that a confined program has no use for: keys of the user, looking into other processes and
/// into the system.
const REFUSED: [i64; 10] = [
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_perf_event_open,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
];
/// Sockets to the machine that this one runs on.
const VSOCK: u64 = 40;

/// Returns what has the system refuse those calls to a thread, and to what it starts; made once.
/// `None` where there is none.
fn calls_filter() -> Option<&'static BpfProgram> {
    static FILTER: OnceLock<Option<BpfProgram>> = OnceLock::new();
    FILTER.get_or_init(|| make_filter().ok()).as_ref()
}

fn make_filter() -> Result<BpfProgram, seccompiler::Error> {
    let above_zero = |place: u8| {
        let is_other = SeccompCondition::new(place, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, 0);
        is_other.and_then(|condition| SeccompRule::new(vec![condition]))
    };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    for (call, place) in OF_OTHERS {
        rules.insert(call, vec![above_zero(place)?]);
    }
    let is_vsock = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, VSOCK)?;
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(vec![is_vsock])?]);
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        refuse,
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}
