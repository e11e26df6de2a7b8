// A safe wrapper of sources over the plugin ABI: a type that has `Source` becomes a component with `export_source!`.
use crate::ragify_sys::*;
use std::os::raw::c_void;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Why something failed: a number of the ABI and a sentence for a person.
pub struct Error {
    pub code: i32,
    pub message: String,
}

impl Error {
    pub fn new(code: i32, message: impl Into<String>) -> Error {
        Error { code, message: message.into() }
    }
}

/// What a source answers; the score is its own declared relevance, 0..1.
pub struct Passage {
    pub content: String,
    pub document: String,
    pub ordinal: u64,
    pub score: f64,
}

/// The configuration of a node, checked against the component's schema.
pub struct Config {
    host: *const RagifyHost,
    context: *mut RagifyContext,
}

impl Config {
    /// [control] The value of a text key, or None where it is absent and has no default.
    pub fn string(&self, key: &std::ffi::CStr) -> Option<String> {
        let mut text = RagifyStr { data: std::ptr::null(), size: 0 };
        // The host outlives the call, and the key is in the schema with that type.
        let code = unsafe { ((*self.host).config_string.unwrap())(self.context, key.as_ptr(), &mut text) };
        if code == RAGIFY_OK { Some(unsafe { to_string(text) }) } else { None }
    }
}

/// A place that can be asked for passages. Calls come on worker threads, several at once.
pub trait Source: Send + Sync + Sized {
    fn create(config: &Config) -> Result<Self, Error>;
    fn start(&self) -> Result<(), Error>;
    fn query(&self, text: &str, top_k: usize) -> Result<Vec<Passage>, Error>;
}

pub struct Instance<S> {
    host: *const RagifyHost,
    source: S,
}

unsafe fn to_string(text: RagifyStr) -> String {
    if text.size == 0 {
        return String::new();
    }
    String::from_utf8_lossy(std::slice::from_raw_parts(text.data as *const u8, text.size as usize)).into_owned()
}

fn borrow(text: &str) -> RagifyStr {
    RagifyStr { data: text.as_ptr() as *const _, size: text.len() as u64 }
}

/// A copy in the call's own memory, which goes with the result.
unsafe fn copy(host: &RagifyHost, call: *mut RagifyCall, text: &str) -> RagifyStr {
    let memory = (host.call_alloc.unwrap())(call, text.len() as u64 + 1) as *mut u8;
    if memory.is_null() {
        return RagifyStr { data: std::ptr::null(), size: 0 };
    }
    std::ptr::copy_nonoverlapping(text.as_ptr(), memory, text.len());
    RagifyStr { data: memory as *const _, size: text.len() as u64 }
}

unsafe fn fail(host: &RagifyHost, call: *mut RagifyCall, error: &Error) {
    (host.call_fail.unwrap())(call, error.code, borrow(&error.message), 0);
}

/// A panic must not cross the boundary: it becomes a failure.
fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::new(RAGIFY_E_INTERNAL, "it panicked")))
}

pub unsafe extern "C" fn create<S: Source>(host: *const RagifyHost, context: *mut RagifyContext,
                                           _which: *const RagifyInstance, instance: *mut *mut c_void) -> i32 {
    match guarded(|| S::create(&Config { host, context })) {
        Ok(source) => {
            *instance = Box::into_raw(Box::new(Instance { host, source })) as *mut c_void;
            RAGIFY_OK
        }
        Err(error) => {
            ((*host).set_error.unwrap())(context, borrow(&error.message));
            error.code
        }
    }
}

pub unsafe extern "C" fn destroy<S: Source>(instance: *mut c_void) {
    drop(Box::from_raw(instance as *mut Instance<S>));
}

pub unsafe extern "C" fn start<S: Source>(instance: *mut c_void, call: *mut RagifyCall, _args: *const RagifyStart) {
    let own = &*(instance as *const Instance<S>);
    match guarded(|| own.source.start()) {
        Ok(()) => ((*own.host).call_done.unwrap())(call, std::ptr::null()),
        Err(error) => fail(&*own.host, call, &error),
    }
}

pub unsafe extern "C" fn query<S: Source>(instance: *mut c_void, call: *mut RagifyCall, args: *const RagifySourceQuery) {
    let own = &*(instance as *const Instance<S>);
    let host = &*own.host;
    let text = to_string((*args).text);
    let mut passages = match guarded(|| own.source.query(&text, (*args).top_k as usize)) {
        Ok(passages) => passages,
        Err(error) => return fail(host, call, &error),
    };
    passages.truncate((*args).top_k as usize);
    let size = std::mem::size_of::<RagifyChunk>();
    let chunks = (host.call_alloc.unwrap())(call, (passages.len() * size) as u64 + 1) as *mut RagifyChunk;
    if chunks.is_null() {
        return fail(host, call, &Error::new(RAGIFY_E_EXHAUSTED, "not enough memory for an answer"));
    }
    for (i, passage) in passages.iter().enumerate() {
        let chunk = &mut *chunks.add(i); // zeroed
        chunk.struct_size = size as u32;
        chunk.flags = RAGIFY_CHUNK_SCORED;
        chunk.document_id = copy(host, call, &passage.document);
        chunk.content = copy(host, call, &passage.content);
        chunk.ordinal = passage.ordinal;
        chunk.score = passage.score;
    }
    let result = RagifySourceResult {
        struct_size: std::mem::size_of::<RagifySourceResult>() as u32,
        reserved: 0,
        chunks: RagifyChunkList { items: chunks, count: passages.len() as u64, stride: size as u32, reserved: 0 },
    };
    (host.call_done.unwrap())(call, &result as *const _ as *const c_void);
}

/// Constant data with pointers in it, which no thread changes.
pub struct Constant<T>(pub T);
unsafe impl<T> Sync for Constant<T> {}

/// Writes the module's entry for one source. All texts end in `\0`.
#[macro_export]
macro_rules! export_source {
    ($source:ty, id: $id:literal, name: $name:literal, version: $version:literal, licence: $licence:literal,
     summary: $summary:literal, keys: [$($key:expr),* $(,)?]) => {
        static KEYS: ragify::Constant<[RagifyKey; [$($key),*].len()]> = ragify::Constant([$($key),*]);
        static OPERATIONS: RagifySourceOperations = RagifySourceOperations {
            struct_size: std::mem::size_of::<RagifySourceOperations>() as u32,
            reserved: 0,
            query: Some(ragify::query::<$source>),
            scan: None,
        };
        static COMPONENT: ragify::Constant<RagifyComponent> = ragify::Constant(RagifyComponent {
            struct_size: std::mem::size_of::<RagifyComponent>() as u32,
            flags: 0,
            kind: RAGIFY_KIND_SOURCE.as_ptr(),
            name: $name.as_ptr() as *const _,
            summary: $summary.as_ptr() as *const _,
            run_class: RAGIFY_RUN_WORKER,
            max_parallel: 4,
            schema: RagifySchema {
                keys: KEYS.0.as_ptr(),
                count: KEYS.0.len() as u32,
                stride: std::mem::size_of::<RagifyKey>() as u32,
            },
            operations: &OPERATIONS as *const _ as *const _,
            create: Some(ragify::create::<$source>),
            start: Some(ragify::start::<$source>),
            stop: None,
            destroy: Some(ragify::destroy::<$source>),
            probe: None,
            reconfigure: None,
            stats: None,
            get_extension: None,
        });
        static COMPONENTS: ragify::Constant<[*const RagifyComponent; 2]> =
            ragify::Constant([&COMPONENT.0 as *const _, std::ptr::null()]);
        static PLUGIN: ragify::Constant<RagifyPlugin> = ragify::Constant(RagifyPlugin {
            magic: RAGIFY_PLUGIN_MAGIC,
            abi_major: RAGIFY_ABI_MAJOR,
            abi_minor_needed: 0,
            struct_size: std::mem::size_of::<RagifyPlugin>() as u32,
            flags: 0,
            id: $id.as_ptr() as *const _,
            version: $version.as_ptr() as *const _,
            licence: $licence.as_ptr() as *const _,
            summary: $summary.as_ptr() as *const _,
            url: "\0".as_ptr() as *const _,
            components: COMPONENTS.0.as_ptr(),
        });

        #[no_mangle]
        pub extern "C" fn ragify_plugin_query() -> *const RagifyPlugin {
            &PLUGIN.0
        }
    };
}
