/* Random numbers for choices that need no secrecy: a thread's own SplitMix64 (Steele, Lea, Flood 2014).
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <glib.h>

/* [any] */
guint64 ragify_random (void);
