//! Work that takes a processor for milliseconds, out of the way of everybody else's requests.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Does `work` here, while another thread takes over what this one had to serve. On a runtime of one thread there is none.
pub(crate) fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::aside;

    #[test]
    fn work_is_done_on_any_runtime_and_on_none() {
        assert_eq!(aside(|| 1), 1);
        let built = [
            tokio::runtime::Builder::new_current_thread().build(),
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build(),
        ];
        for runtime in built {
            let runtime = runtime.expect("a runtime");
            assert_eq!(runtime.block_on(async { aside(|| 2) }), 2);
            assert_eq!(runtime.block_on(async { tokio::spawn(async { aside(|| 3) }).await }).expect("it ends"), 3);
        }
    }
}
