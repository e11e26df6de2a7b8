/* The host's buffers: RagifyHost.buffer_new and buffer_wrap.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <ragify/ragify.h>

/* As host.h has them. [any] */
RagifyBuffer *ragify_buffer_new (uint64_t size, uint8_t **data);
RagifyBuffer *ragify_buffer_wrap (const uint8_t *data, uint64_t size, void (*release_data) (void *user), void *user);
