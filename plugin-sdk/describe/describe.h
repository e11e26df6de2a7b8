/* Ragify plugin SDK: the plugin ABI as data. SPDX-License-Identifier: MIT
 *
 * One table names every public struct with its members, and every kind with its operations. From it come the golden
 * layout that never changes, the thread tags that tests hold against the headers, and the flat form in which any
 * argument or result can go to another process and back. All functions [any].
 */
#ifndef RAGIFY_DESCRIBE_H
#define RAGIFY_DESCRIBE_H

#include <ragify/ragify.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a member is. */
#define RAGIFY_TYPE_U16 1u
#define RAGIFY_TYPE_U32 2u
#define RAGIFY_TYPE_I32 3u
#define RAGIFY_TYPE_U64 4u
#define RAGIFY_TYPE_I64 5u
#define RAGIFY_TYPE_F32 6u
#define RAGIFY_TYPE_F64 7u
#define RAGIFY_TYPE_RAW 8u       /* bytes in place, as many as the member is large */
#define RAGIFY_TYPE_TEXT 9u      /* const char * ended by NUL: descriptors only */
#define RAGIFY_TYPE_STRUCT 10u   /* a struct in place: `of` */
#define RAGIFY_TYPE_POINTER 11u  /* to one struct `of`, or NULL */
#define RAGIFY_TYPE_ITEMS 12u    /* to the items of the list that the struct is */
#define RAGIFY_TYPE_BUFFER 13u   /* RagifyBuffer *, or NULL */
#define RAGIFY_TYPE_STREAM 14u   /* RagifyStream *, or NULL */
#define RAGIFY_TYPE_FUNCTION 15u /* `tag` says on which thread it runs */
#define RAGIFY_TYPE_U8 17u
#define RAGIFY_TYPE_OPAQUE 16u /* a pointer that only descriptors have */

typedef struct RagifyDescribedStruct RagifyDescribedStruct;

typedef struct RagifyDescribedMember {
  const char *name;
  uint32_t type; /* RAGIFY_TYPE_… */
  uint32_t item; /* ITEMS: the type of one, RAGIFY_TYPE_STRUCT or a number */
  uint32_t offset;
  uint32_t size;
  const RagifyDescribedStruct *of; /* STRUCT, POINTER, ITEMS of structs */
  const char *tag;                 /* FUNCTION: as in the header, such as "[loop]" */
} RagifyDescribedMember;

#define RAGIFY_STRUCT_SIZED 1u   /* begins with struct_size and may grow at its end */
#define RAGIFY_STRUCT_LIST 2u    /* the items come first and their number next, then perhaps `stride` */
#define RAGIFY_STRUCT_VECTORS 4u /* the list that has count × dimension items */
#define RAGIFY_STRUCT_GROWS 8u   /* grows behind a stride or a size in another place */

struct RagifyDescribedStruct {
  const char *name;
  uint32_t size;
  uint32_t flags; /* RAGIFY_STRUCT_… */
  uint32_t member_count;
  const RagifyDescribedMember *members; /* by offset */
};

typedef struct RagifyDescribedOperation {
  const char *name;
  uint32_t offset; /* of the function in the vtable, or in RagifyComponent */
  const RagifyDescribedStruct *args;
  const RagifyDescribedStruct *result;  /* NULL: none */
  const RagifyDescribedStruct *emitted; /* NULL: none */
} RagifyDescribedOperation;

typedef struct RagifyDescribedKind {
  const char *id; /* such as "ragify.cache/1" */
  const RagifyDescribedStruct *vtable;
  uint32_t operation_count;
  const RagifyDescribedOperation *operations;
} RagifyDescribedKind;

/* All structs, all kinds, and the operations that all kinds have (start, stop, probe, reconfigure, stats); each list of
 * pointers or structs is `*count` long. */
const RagifyDescribedStruct *const *ragify_describe_structs (uint32_t *count);
const RagifyDescribedKind *ragify_describe_kinds (uint32_t *count);
const RagifyDescribedOperation *ragify_describe_common (uint32_t *count);

/* The struct or kind of that name, or NULL. */
const RagifyDescribedStruct *ragify_describe_struct (const char *name);
const RagifyDescribedKind *ragify_describe_kind (const char *id);

/* ---- The flat form ------------------------------------------------------------------------------------------------
 * Numbers little-endian, texts and lists behind their length, structs behind the size that their writer knew. */

typedef struct RagifyFlat {
  uint8_t *data; /* from malloc */
  uint64_t size;
} RagifyFlat;

/* Writes a value and everything that it refers to. 0, or RAGIFY_E_INVALID with `*error` when the value is broken (a
 * list without items, a stride or size that cannot be, more than 64 levels), or RAGIFY_E_EXHAUSTED beyond `limit`
 * bytes. `flat` is untouched then. Members that a struct's own size does not cover are left out. */
int32_t ragify_flat_encode (const RagifyDescribedStruct *type, const void *value, uint64_t limit, RagifyFlat *flat,
                            const char **error);
void ragify_flat_free (RagifyFlat *flat);

/* Where decoding takes its memory from. */
typedef struct RagifyFlatSpace {
  void *(*alloc) (void *user, uint64_t size); /* zeroed, aligned for any type; NULL: no more */
  RagifyBuffer *(*buffer_new) (void *user, uint64_t size, uint8_t **data);
  void *user;
  RagifyStream *stream; /* what a stream becomes */
} RagifyFlatSpace;

/* Reads a value back. Nothing in `data` is trusted: whatever is cut off, counts more than there is, or goes deeper than
 * 64 levels is refused with `*error`, and memory stays within 64 × `size` + 4096 bytes. NULL when refused; buffers made
 * before that are released. */
void *ragify_flat_decode (const RagifyDescribedStruct *type, const void *data, uint64_t size,
                          const RagifyFlatSpace *space, const char **error);

#ifdef __cplusplus
}
#endif
#endif
