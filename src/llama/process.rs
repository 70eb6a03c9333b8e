//! A child process that does not outlive us: not after a panic, not after `kill -9`.
//!
//! The child leads a process group of its own, so that Ctrl-C reaches us alone and a wrapper script is stopped
//! together with what it started. On Linux the kernel kills it when the thread that started it ends; that thread is
//! therefore one of its own, which lives exactly as long as the handle.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Handle of a running process. Dropping it kills the process group.
#[derive(Debug)]
pub(super) struct Process {
    child: Mutex<Child>,
    /// Closed on drop: the starting thread ends with it, and the kernel's guard with the thread.
    _alive: mpsc::Sender<()>,
}

impl Process {
    /// Starts `command` in a process group of its own.
    pub(super) async fn spawn(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        die_with_parent(&mut command);
        let runtime = Handle::current();
        let (send, started) = oneshot::channel();
        let (alive, until_dropped) = mpsc::channel::<()>();
        thread::Builder::new().name("llama-server".to_owned()).spawn(move || {
            let _inside = runtime.enter();
            if send.send(command.spawn()).is_ok() {
                let _ = until_dropped.recv();
            }
        })?;
        let child = started.await.map_err(io::Error::other)??;
        Ok(Self { child: Mutex::new(child), _alive: alive })
    }

    /// Process id, until it has ended and that was noticed.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).id()
    }

    /// Exit status, if it has ended.
    pub(super) fn exited(&self) -> io::Result<Option<ExitStatus>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait()
    }

    /// Asks it to end, and kills it after `grace`.
    pub(super) async fn stop(&mut self, grace: Duration) -> io::Result<ExitStatus> {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        signal_group(child, libc::SIGTERM);
        match tokio::time::timeout(grace, child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                signal_group(child, libc::SIGKILL);
                child.wait().await
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        signal_group(self.child.get_mut().unwrap_or_else(PoisonError::into_inner), libc::SIGKILL);
    }
}

/// Signals the process group of a child that has not been waited for; else does nothing.
#[expect(unsafe_code, reason = "std has no way to send a signal other than SIGKILL, or one to a group")]
fn signal_group(child: &Child, signal: i32) {
    // tokio forgets the id when it reaps the child, so it cannot name somebody else's process by now.
    if let Some(group) = child.id().and_then(|id| i32::try_from(id).ok()) {
        // SAFETY: kill(2) takes two integers and touches no memory.
        unsafe { libc::kill(-group, signal) };
    }
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "only the kernel can end a child whose parent was killed with -9")]
fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: between fork and exec only async-signal-safe functions may run; prctl and getppid are, and building an
    // io::Error from a number or from errno does not allocate.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the call above.
            if u32::try_from(libc::getppid()) != Ok(parent) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command) {}
