// Written by plugin-sdk/rust/bindings from the headers of ragify-plugin-sdk; do not edit.
#![allow(dead_code, non_camel_case_types)]
use std::os::raw::{c_char, c_void};

const fn c_str(bytes: &[u8]) -> &std::ffi::CStr {
    // Each ends in the one NUL that it has.
    unsafe { std::ffi::CStr::from_bytes_with_nul_unchecked(bytes) }
}

pub const RAGIFY_ABI_MAJOR: u16 = 1;
pub const RAGIFY_ABI_MINOR: u16 = 0;
pub const RAGIFY_NEEDS_MINOR: u16 = 0;
pub const RAGIFY_OK: i32 = 0;
pub const RAGIFY_E_INVALID: i32 = 1;
pub const RAGIFY_E_NOT_FOUND: i32 = 2;
pub const RAGIFY_E_UNAVAILABLE: i32 = 3;
pub const RAGIFY_E_TIMEOUT: i32 = 4;
pub const RAGIFY_E_CANCELLED: i32 = 5;
pub const RAGIFY_E_EXHAUSTED: i32 = 6;
pub const RAGIFY_E_UNAUTHORIZED: i32 = 7;
pub const RAGIFY_E_INTERNAL: i32 = 8;
pub const RAGIFY_VALUE_NULL: u32 = 0;
pub const RAGIFY_VALUE_BOOL: u32 = 1;
pub const RAGIFY_VALUE_INT: u32 = 2;
pub const RAGIFY_VALUE_DOUBLE: u32 = 3;
pub const RAGIFY_VALUE_STRING: u32 = 4;
pub const RAGIFY_FILTER_AND: u32 = 1;
pub const RAGIFY_FILTER_OR: u32 = 2;
pub const RAGIFY_FILTER_NOT: u32 = 3;
pub const RAGIFY_FILTER_EQ: u32 = 4;
pub const RAGIFY_FILTER_NE: u32 = 5;
pub const RAGIFY_FILTER_GT: u32 = 6;
pub const RAGIFY_FILTER_GTE: u32 = 7;
pub const RAGIFY_FILTER_LT: u32 = 8;
pub const RAGIFY_FILTER_LTE: u32 = 9;
pub const RAGIFY_FILTER_IN: u32 = 10;
pub const RAGIFY_FILTER_NIN: u32 = 11;
pub const RAGIFY_CHUNK_DELETED: u32 = 1;
pub const RAGIFY_CHUNK_MISSING: u32 = 2;
pub const RAGIFY_CHUNK_SCORED: u32 = 4;
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStr {
    pub data: *const c_char,
    pub size: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyBytes {
    pub data: *const u8,
    pub size: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyUuid {
    pub bytes: [u8; 16],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyGeneration {
    pub store: RagifyUuid,
    pub counter: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyBuffer {
    pub struct_size: u32,
    pub reserved: u32,
    pub data: *const u8,
    pub size: u64,
    pub ref_: Option<unsafe extern "C" fn(*mut RagifyBuffer)>,
    pub unref: Option<unsafe extern "C" fn(*mut RagifyBuffer)>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStrList {
    pub items: *const RagifyStr,
    pub count: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyUuidList {
    pub items: *const RagifyUuid,
    pub count: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyU32List {
    pub items: *const u32,
    pub count: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyVectors {
    pub items: *const f32,
    pub count: u32,
    pub dimension: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyValue {
    pub type_: u32,
    pub reserved: u32,
    pub integer: i64,
    pub number: f64,
    pub string: RagifyStr,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyValueList {
    pub items: *const RagifyValue,
    pub count: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyPair {
    pub name: RagifyStr,
    pub value: RagifyValue,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyPairList {
    pub items: *const RagifyPair,
    pub count: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyFilterList {
    pub items: *const RagifyFilter,
    pub count: u64,
    pub stride: u32,
    pub reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyFilter {
    pub struct_size: u32,
    pub op: u32,
    pub field: RagifyStr,
    pub values: RagifyValueList,
    pub children: RagifyFilterList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyChunk {
    pub struct_size: u32,
    pub flags: u32,
    pub id: RagifyUuid,
    pub document_id: RagifyStr,
    pub content: RagifyStr,
    pub title: RagifyStr,
    pub uri: RagifyStr,
    pub metadata: RagifyStr,
    pub ordinal: u64,
    pub begin: u64,
    pub end: u64,
    pub created_at: i64,
    pub updated_at: i64,
    pub score: f64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyChunkList {
    pub items: *const RagifyChunk,
    pub count: u64,
    pub stride: u32,
    pub reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyHit {
    pub id: RagifyUuid,
    pub score: f32,
    pub reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyHitList {
    pub items: *const RagifyHit,
    pub count: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyNothing {
    pub struct_size: u32,
    pub reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyEmbedderInfo {
    pub struct_size: u32,
    pub dimension: u32,
    pub token_limit: u32,
    pub max_batch: u32,
    pub fingerprint: RagifyStr,
}

pub const RAGIFY_LOG_ERROR: u32 = 1;
pub const RAGIFY_LOG_WARNING: u32 = 2;
pub const RAGIFY_LOG_INFO: u32 = 3;
pub const RAGIFY_LOG_DEBUG: u32 = 4;
pub const RAGIFY_EMIT_GO: u32 = 0;
pub const RAGIFY_EMIT_WAIT: u32 = 1;
pub const RAGIFY_EMIT_STOP: u32 = 2;
pub const RAGIFY_EXT_LOOP: &std::ffi::CStr = c_str(b"ragify.loop/1\0");
pub const RAGIFY_FD_READ: u32 = 1;
pub const RAGIFY_FD_WRITE: u32 = 2;
pub const RAGIFY_FD_HANGUP: u32 = 4;
pub const RAGIFY_EXT_QUOTA: &std::ffi::CStr = c_str(b"ragify.quota/1\0");
pub const RAGIFY_EXT_METRICS: &std::ffi::CStr = c_str(b"ragify.metrics/1\0");
pub const RAGIFY_METRIC_COUNTER: u32 = 1;
pub const RAGIFY_METRIC_GAUGE: u32 = 2;
pub const RAGIFY_METRIC_HISTOGRAM: u32 = 3;
pub const RAGIFY_EXT_SECRETS: &std::ffi::CStr = c_str(b"ragify.secrets/1\0");
pub const RAGIFY_EXT_TRACE: &std::ffi::CStr = c_str(b"ragify.trace/1\0");
pub const RAGIFY_EXT_THREAD_CHECK: &std::ffi::CStr = c_str(b"ragify.thread-check/1\0");
pub const RAGIFY_THREAD_OTHER: u32 = 0;
pub const RAGIFY_THREAD_CONTROL: u32 = 1;
pub const RAGIFY_THREAD_LOOP: u32 = 2;
pub const RAGIFY_THREAD_WORKER: u32 = 3;
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyHost {
    pub struct_size: u32,
    pub abi_major: u16,
    pub abi_minor: u16,
    pub log: Option<unsafe extern "C" fn(*mut RagifyContext, u32, RagifyStr)>,
    pub clock_us: Option<unsafe extern "C" fn() -> u64>,
    pub wall_us: Option<unsafe extern "C" fn() -> i64>,
    pub config_string: Option<unsafe extern "C" fn(*mut RagifyContext, *const c_char, *mut RagifyStr) -> i32>,
    pub config_int: Option<unsafe extern "C" fn(*mut RagifyContext, *const c_char, *mut i64) -> i32>,
    pub config_double: Option<unsafe extern "C" fn(*mut RagifyContext, *const c_char, *mut f64) -> i32>,
    pub config_bool: Option<unsafe extern "C" fn(*mut RagifyContext, *const c_char, *mut u32) -> i32>,
    pub config_duration: Option<unsafe extern "C" fn(*mut RagifyContext, *const c_char, *mut u64) -> i32>,
    pub config_size: Option<unsafe extern "C" fn(*mut RagifyContext, *const c_char, *mut u64) -> i32>,
    pub config_list: Option<unsafe extern "C" fn(*mut RagifyContext, *const c_char, *mut RagifyStrList) -> i32>,
    pub set_error: Option<unsafe extern "C" fn(*mut RagifyContext, RagifyStr)>,
    pub buffer_new: Option<unsafe extern "C" fn(u64, *mut *mut u8) -> *mut RagifyBuffer>,
    pub buffer_wrap: Option<unsafe extern "C" fn(*const u8, u64, Option<unsafe extern "C" fn(*mut c_void)>, *mut c_void) -> *mut RagifyBuffer>,
    pub call_alloc: Option<unsafe extern "C" fn(*mut RagifyCall, u64) -> *mut c_void>,
    pub call_deadline_us: Option<unsafe extern "C" fn(*mut RagifyCall) -> u64>,
    pub call_cancelled: Option<unsafe extern "C" fn(*mut RagifyCall) -> u32>,
    pub call_on_cancel: Option<unsafe extern "C" fn(*mut RagifyCall, Option<unsafe extern "C" fn(*mut RagifyCall, *mut c_void)>, *mut c_void)>,
    pub call_emit: Option<unsafe extern "C" fn(*mut RagifyCall, *const c_void) -> u32>,
    pub call_on_credit: Option<unsafe extern "C" fn(*mut RagifyCall, Option<unsafe extern "C" fn(*mut RagifyCall, *mut c_void)>, *mut c_void)>,
    pub call_done: Option<unsafe extern "C" fn(*mut RagifyCall, *const c_void)>,
    pub call_fail: Option<unsafe extern "C" fn(*mut RagifyCall, i32, RagifyStr, u64)>,
    pub submit: Option<unsafe extern "C" fn(*mut RagifyContext, Option<unsafe extern "C" fn(*mut c_void)>, *mut c_void) -> i32>,
    pub stream_read: Option<unsafe extern "C" fn(*mut RagifyStream, *mut u8, u64) -> i64>,
    pub get_extension: Option<unsafe extern "C" fn(*mut RagifyContext, *const c_char) -> *const c_void>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyLoopExtension {
    pub struct_size: u32,
    pub reserved: u32,
    pub watch_new: Option<unsafe extern "C" fn(*mut RagifyContext, i32, u32, Option<unsafe extern "C" fn(*mut c_void, i32, u32)>, *mut c_void) -> *mut RagifyWatch>,
    pub watch_set_events: Option<unsafe extern "C" fn(*mut RagifyWatch, u32)>,
    pub watch_remove: Option<unsafe extern "C" fn(*mut RagifyWatch)>,
    pub timer_new: Option<unsafe extern "C" fn(*mut RagifyContext, u64, u64, Option<unsafe extern "C" fn(*mut c_void)>, *mut c_void) -> *mut RagifyTimer>,
    pub timer_restart: Option<unsafe extern "C" fn(*mut RagifyTimer, u64)>,
    pub timer_remove: Option<unsafe extern "C" fn(*mut RagifyTimer)>,
    pub invoke: Option<unsafe extern "C" fn(*mut RagifyContext, Option<unsafe extern "C" fn(*mut c_void)>, *mut c_void)>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyQuotaExtension {
    pub struct_size: u32,
    pub reserved: u32,
    pub open: Option<unsafe extern "C" fn(*mut RagifyContext, *const c_char, u64) -> *mut RagifyQuota>,
    pub try_acquire: Option<unsafe extern "C" fn(*mut RagifyQuota, u64) -> u32>,
    pub release: Option<unsafe extern "C" fn(*mut RagifyQuota, u64)>,
    pub in_use: Option<unsafe extern "C" fn(*mut RagifyQuota) -> u64>,
    pub notify_release: Option<unsafe extern "C" fn(*mut RagifyContext, *mut RagifyQuota, u64, Option<unsafe extern "C" fn(*mut c_void)>, *mut c_void)>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyMetricsExtension {
    pub struct_size: u32,
    pub reserved: u32,
    pub metric_new: Option<unsafe extern "C" fn(*mut RagifyContext, u32, *const c_char, *const c_char) -> *mut RagifyMetric>,
    pub add: Option<unsafe extern "C" fn(*mut RagifyMetric, f64)>,
    pub set: Option<unsafe extern "C" fn(*mut RagifyMetric, f64)>,
    pub observe: Option<unsafe extern "C" fn(*mut RagifyMetric, f64)>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifySecretsExtension {
    pub struct_size: u32,
    pub reserved: u32,
    pub read: Option<unsafe extern "C" fn(*mut RagifyContext, RagifyStr) -> *mut RagifyBuffer>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyTraceExtension {
    pub struct_size: u32,
    pub reserved: u32,
    pub context: Option<unsafe extern "C" fn(*mut RagifyCall, *mut RagifyStr, *mut RagifyStr) -> u32>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyThreadCheckExtension {
    pub struct_size: u32,
    pub reserved: u32,
    pub current: Option<unsafe extern "C" fn() -> u32>,
    pub on_own_loop: Option<unsafe extern "C" fn(*mut RagifyContext) -> u32>,
}

pub const RAGIFY_PLUGIN_MAGIC: u32 = 0x59464752;
pub const RAGIFY_PLUGIN_ENTRY: &std::ffi::CStr = c_str(b"ragify_plugin_query\0");
pub const RAGIFY_KEY_STRING: u32 = 1;
pub const RAGIFY_KEY_INT: u32 = 2;
pub const RAGIFY_KEY_DOUBLE: u32 = 3;
pub const RAGIFY_KEY_BOOL: u32 = 4;
pub const RAGIFY_KEY_DURATION: u32 = 5;
pub const RAGIFY_KEY_SIZE: u32 = 6;
pub const RAGIFY_KEY_PATH: u32 = 7;
pub const RAGIFY_KEY_URI: u32 = 8;
pub const RAGIFY_KEY_ENUM: u32 = 9;
pub const RAGIFY_KEY_LIST: u32 = 10;
pub const RAGIFY_KEY_SECRET: u32 = 11;
pub const RAGIFY_KEY_REQUIRED: u32 = 1;
pub const RAGIFY_KEY_RELOADABLE: u32 = 2;
pub const RAGIFY_KEY_DEPRECATED: u32 = 4;
pub const RAGIFY_RUN_LOOP: u32 = 1;
pub const RAGIFY_RUN_SHARED: u32 = 2;
pub const RAGIFY_RUN_WORKER: u32 = 3;
pub const RAGIFY_COMPONENT_WANTS_EMBEDDING: u32 = 1;
pub const RAGIFY_COMPONENT_FILTERS: u32 = 2;
pub const RAGIFY_COMPONENT_REMOTE: u32 = 4;
pub const RAGIFY_COMPONENT_EXCLUSIVE: u32 = 8;
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyKey {
    pub name: *const c_char,
    pub type_: u32,
    pub flags: u32,
    pub default_value: *const c_char,
    pub unit: *const c_char,
    pub choices: *const c_char,
    pub minimum: *const c_char,
    pub maximum: *const c_char,
    pub summary: *const c_char,
    pub since: *const c_char,
    pub replaced_by: *const c_char,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifySchema {
    pub keys: *const RagifyKey,
    pub count: u32,
    pub stride: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyInstance {
    pub struct_size: u32,
    pub index: u32,
    pub count: u32,
    pub reserved: u32,
    pub node: RagifyStr,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStart {
    pub struct_size: u32,
    pub reserved: u32,
    pub embedder: *const RagifyEmbedderInfo,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyProbeResult {
    pub struct_size: u32,
    pub reserved: u32,
    pub detail: RagifyStr,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyReconfigure {
    pub struct_size: u32,
    pub reserved: u32,
    pub keys: RagifyStrList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStatsResult {
    pub struct_size: u32,
    pub reserved: u32,
    pub values: RagifyPairList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyComponent {
    pub struct_size: u32,
    pub flags: u32,
    pub kind: *const c_char,
    pub name: *const c_char,
    pub summary: *const c_char,
    pub run_class: u32,
    pub max_parallel: u32,
    pub schema: RagifySchema,
    pub operations: *const c_void,
    pub create: Option<unsafe extern "C" fn(*const RagifyHost, *mut RagifyContext, *const RagifyInstance, *mut *mut c_void) -> i32>,
    pub start: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyStart)>,
    pub stop: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyNothing)>,
    pub destroy: Option<unsafe extern "C" fn(*mut c_void)>,
    pub probe: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyNothing)>,
    pub reconfigure: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyReconfigure)>,
    pub stats: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyNothing)>,
    pub get_extension: Option<unsafe extern "C" fn(*mut c_void, *const c_char) -> *const c_void>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyPlugin {
    pub magic: u32,
    pub abi_major: u16,
    pub abi_minor_needed: u16,
    pub struct_size: u32,
    pub flags: u32,
    pub id: *const c_char,
    pub version: *const c_char,
    pub licence: *const c_char,
    pub summary: *const c_char,
    pub url: *const c_char,
    pub components: *const *const RagifyComponent,
}

pub const RAGIFY_KIND_SOURCE: &std::ffi::CStr = c_str(b"ragify.source/1\0");
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifySourceQuery {
    pub struct_size: u32,
    pub top_k: u32,
    pub text: RagifyStr,
    pub embedding: RagifyVectors,
    pub filter: *const RagifyFilter,
    pub tuning: RagifyPairList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifySourceResult {
    pub struct_size: u32,
    pub reserved: u32,
    pub chunks: RagifyChunkList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifySourceScan {
    pub struct_size: u32,
    pub limit: u32,
    pub cursor: RagifyStr,
    pub since: i64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifySourceScanResult {
    pub struct_size: u32,
    pub reserved: u32,
    pub cursor: RagifyStr,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifySourceOperations {
    pub struct_size: u32,
    pub reserved: u32,
    pub query: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifySourceQuery)>,
    pub scan: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifySourceScan)>,
}

pub const RAGIFY_KIND_CACHE: &std::ffi::CStr = c_str(b"ragify.cache/1\0");
pub const RAGIFY_CACHE_CLEAR_ALL: u32 = 0;
pub const RAGIFY_CACHE_CLEAR_EXPIRED: u32 = 1;
pub const RAGIFY_CACHE_CLEAR_SHRINK: u32 = 2;
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyCacheGet {
    pub struct_size: u32,
    pub reserved: u32,
    pub key: RagifyBytes,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyCacheGetResult {
    pub struct_size: u32,
    pub reserved: u32,
    pub value: *mut RagifyBuffer,
    pub ttl_us: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyCacheSet {
    pub struct_size: u32,
    pub reserved: u32,
    pub key: RagifyBytes,
    pub value: *mut RagifyBuffer,
    pub ttl_us: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyCacheRemove {
    pub struct_size: u32,
    pub reserved: u32,
    pub key: RagifyBytes,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyCacheClear {
    pub struct_size: u32,
    pub scope: u32,
    pub target_bytes: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyCacheCount {
    pub struct_size: u32,
    pub reserved: u32,
    pub count: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyCacheOperations {
    pub struct_size: u32,
    pub reserved: u32,
    pub get: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyCacheGet)>,
    pub set: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyCacheSet)>,
    pub remove: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyCacheRemove)>,
    pub clear: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyCacheClear)>,
}

pub const RAGIFY_KIND_VECTOR_STORE: &std::ffi::CStr = c_str(b"ragify.vector-store/1\0");
pub const RAGIFY_DOCUMENT_REPLACE: u32 = 0;
pub const RAGIFY_DOCUMENT_STAGE: u32 = 1;
pub const RAGIFY_DOCUMENT_COMMIT: u32 = 2;
pub const RAGIFY_DOCUMENT_DELETED: u32 = 1;
pub const RAGIFY_FETCH_CONTENT: u32 = 1;
pub const RAGIFY_FETCH_METADATA: u32 = 2;
pub const RAGIFY_FETCH_VECTORS: u32 = 4;
pub const RAGIFY_LIST_DOCUMENTS: u32 = 0;
pub const RAGIFY_LIST_CHUNKS: u32 = 1;
pub const RAGIFY_VERIFY_REPAIR: u32 = 1;
pub const RAGIFY_REINDEX_FINISH: u32 = 1;
pub const RAGIFY_REINDEX_DROP: u32 = 2;
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyDocument {
    pub struct_size: u32,
    pub mode: u32,
    pub flags: u32,
    pub reserved: u32,
    pub id: RagifyStr,
    pub uri: RagifyStr,
    pub title: RagifyStr,
    pub metadata: RagifyStr,
    pub content_hash: RagifyUuid,
    pub chunks: u64,
    pub staged: u64,
    pub staged_hash: RagifyUuid,
    pub created_at: i64,
    pub updated_at: i64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyDocumentList {
    pub items: *const RagifyDocument,
    pub count: u64,
    pub stride: u32,
    pub reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStoreUpsert {
    pub struct_size: u32,
    pub reserved: u32,
    pub documents: RagifyDocumentList,
    pub chunks: RagifyChunkList,
    pub vectors: RagifyVectors,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStoreUpsertResult {
    pub struct_size: u32,
    pub reserved: u32,
    pub generation: RagifyGeneration,
    pub inserted: u64,
    pub removed: RagifyUuidList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStoreSearch {
    pub struct_size: u32,
    pub top_k: u32,
    pub vectors: RagifyVectors,
    pub filter: *const RagifyFilter,
    pub tuning: RagifyPairList,
    pub scored: RagifyUuidList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStoreSearchResult {
    pub struct_size: u32,
    pub reserved: u32,
    pub hits: RagifyHitList,
    pub counts: RagifyU32List,
    pub scores: RagifyVectors,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStoreFetch {
    pub struct_size: u32,
    pub what: u32,
    pub ids: RagifyUuidList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStoreFetchResult {
    pub struct_size: u32,
    pub reserved: u32,
    pub chunks: RagifyChunkList,
    pub vectors: RagifyVectors,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStoreList {
    pub struct_size: u32,
    pub what: u32,
    pub limit: u32,
    pub flags: u32,
    pub cursor: RagifyStr,
    pub documents: RagifyStrList,
    pub filter: *const RagifyFilter,
    pub since: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStoreListResult {
    pub struct_size: u32,
    pub reserved: u32,
    pub documents: RagifyDocumentList,
    pub chunks: RagifyChunkList,
    pub cursor: RagifyStr,
    pub generation: RagifyGeneration,
    pub since_too_old: u32,
    pub reserved2: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStoreRemove {
    pub struct_size: u32,
    pub reserved: u32,
    pub ids: RagifyUuidList,
    pub documents: RagifyStrList,
    pub filter: *const RagifyFilter,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStoreRemoveResult {
    pub struct_size: u32,
    pub reserved: u32,
    pub generation: RagifyGeneration,
    pub removed: RagifyUuidList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStoreOptimize {
    pub struct_size: u32,
    pub reserved: u32,
    pub tuning: RagifyPairList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStoreBackup {
    pub struct_size: u32,
    pub reserved: u32,
    pub path: RagifyStr,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStoreVerify {
    pub struct_size: u32,
    pub flags: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStoreVerifyResult {
    pub struct_size: u32,
    pub reserved: u32,
    pub looked_at: u64,
    pub repaired: u64,
    pub problems: RagifyStrList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStoreReindex {
    pub struct_size: u32,
    pub flags: u32,
    pub fingerprint: RagifyStr,
    pub dimension: u32,
    pub limit: u32,
    pub ids: RagifyUuidList,
    pub vectors: RagifyVectors,
    pub as_of: RagifyGeneration,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStoreReindexResult {
    pub struct_size: u32,
    pub finished: u32,
    pub chunks: RagifyChunkList,
    pub generation: RagifyGeneration,
    pub done: u64,
    pub total: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyStoreGeneration {
    pub struct_size: u32,
    pub reserved: u32,
    pub generation: RagifyGeneration,
    pub documents: u64,
    pub chunks: u64,
    pub vectors: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyVectorStoreOperations {
    pub struct_size: u32,
    pub reserved: u32,
    pub upsert: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyStoreUpsert)>,
    pub search: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyStoreSearch)>,
    pub fetch: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyStoreFetch)>,
    pub list: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyStoreList)>,
    pub remove: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyStoreRemove)>,
    pub optimize: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyStoreOptimize)>,
    pub flush: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyNothing)>,
    pub generation: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyNothing)>,
    pub backup: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyStoreBackup)>,
    pub verify: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyStoreVerify)>,
    pub reindex: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyStoreReindex)>,
}

pub const RAGIFY_KIND_TEXT_INDEX: &std::ffi::CStr = c_str(b"ragify.text-index/1\0");
pub const RAGIFY_TEXT_REMOVE_ALL: u32 = 1;
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyTextUpsert {
    pub struct_size: u32,
    pub reserved: u32,
    pub chunks: RagifyChunkList,
    pub removed: RagifyUuidList,
    pub generation: RagifyGeneration,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyTextSearch {
    pub struct_size: u32,
    pub top_k: u32,
    pub text: RagifyStr,
    pub filter: *const RagifyFilter,
    pub tuning: RagifyPairList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyTextSearchResult {
    pub struct_size: u32,
    pub reserved: u32,
    pub hits: RagifyHitList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyTextRemove {
    pub struct_size: u32,
    pub flags: u32,
    pub ids: RagifyUuidList,
    pub generation: RagifyGeneration,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyTextGeneration {
    pub struct_size: u32,
    pub reserved: u32,
    pub generation: RagifyGeneration,
    pub chunks: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyTextIndexOperations {
    pub struct_size: u32,
    pub reserved: u32,
    pub upsert: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyTextUpsert)>,
    pub search: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyTextSearch)>,
    pub remove: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyTextRemove)>,
    pub optimize: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyNothing)>,
    pub flush: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyNothing)>,
    pub generation: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyNothing)>,
}

pub const RAGIFY_KIND_EMBEDDER: &std::ffi::CStr = c_str(b"ragify.embedder/1\0");
pub const RAGIFY_PURPOSE_QUERY: u32 = 1;
pub const RAGIFY_PURPOSE_DOCUMENT: u32 = 2;
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyEmbedderTokenize {
    pub struct_size: u32,
    pub reserved: u32,
    pub texts: RagifyStrList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyEmbedderTokenizeResult {
    pub struct_size: u32,
    pub reserved: u32,
    pub counts: RagifyU32List,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyEmbedderEmbed {
    pub struct_size: u32,
    pub purpose: u32,
    pub texts: RagifyStrList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyEmbedderEmbedResult {
    pub struct_size: u32,
    pub truncated: u32,
    pub vectors: RagifyVectors,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyEmbedderOperations {
    pub struct_size: u32,
    pub reserved: u32,
    pub describe: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyNothing)>,
    pub tokenize: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyEmbedderTokenize)>,
    pub embed: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyEmbedderEmbed)>,
}

pub const RAGIFY_KIND_RERANKER: &std::ffi::CStr = c_str(b"ragify.reranker/1\0");
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyRerank {
    pub struct_size: u32,
    pub top_k: u32,
    pub query: RagifyStr,
    pub chunks: RagifyChunkList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyRank {
    pub index: u32,
    pub score: f32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyRankList {
    pub items: *const RagifyRank,
    pub count: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyRerankResult {
    pub struct_size: u32,
    pub reserved: u32,
    pub ranks: RagifyRankList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyRerankerOperations {
    pub struct_size: u32,
    pub reserved: u32,
    pub rerank: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyRerank)>,
}

pub const RAGIFY_KIND_EXTRACTOR: &std::ffi::CStr = c_str(b"ragify.extractor/1\0");
pub const RAGIFY_PIECE_HEADING: u32 = 1;
pub const RAGIFY_PIECE_PARAGRAPH: u32 = 2;
pub const RAGIFY_PIECE_BREAK: u32 = 3;
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyExtractorAccepts {
    pub struct_size: u32,
    pub reserved: u32,
    pub media_type: RagifyStr,
    pub uri: RagifyStr,
    pub head: RagifyBytes,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyExtractorAcceptsResult {
    pub struct_size: u32,
    pub confidence: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyExtractorExtract {
    pub struct_size: u32,
    pub reserved: u32,
    pub media_type: RagifyStr,
    pub uri: RagifyStr,
    pub stream: *mut RagifyStream,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyPiece {
    pub struct_size: u32,
    pub type_: u32,
    pub level: u32,
    pub page: u32,
    pub begin: u64,
    pub end: u64,
    pub text: RagifyStr,
    pub metadata: RagifyStr,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyExtractorExtractResult {
    pub struct_size: u32,
    pub reserved: u32,
    pub title: RagifyStr,
    pub metadata: RagifyStr,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RagifyExtractorOperations {
    pub struct_size: u32,
    pub reserved: u32,
    pub accepts: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyExtractorAccepts)>,
    pub extract: Option<unsafe extern "C" fn(*mut c_void, *mut RagifyCall, *const RagifyExtractorExtract)>,
}

#[repr(C)]
pub struct RagifyCall {
    _private: [u8; 0],
}

#[repr(C)]
pub struct RagifyContext {
    _private: [u8; 0],
}

#[repr(C)]
pub struct RagifyMetric {
    _private: [u8; 0],
}

#[repr(C)]
pub struct RagifyQuota {
    _private: [u8; 0],
}

#[repr(C)]
pub struct RagifyStream {
    _private: [u8; 0],
}

#[repr(C)]
pub struct RagifyTimer {
    _private: [u8; 0],
}

#[repr(C)]
pub struct RagifyWatch {
    _private: [u8; 0],
}

