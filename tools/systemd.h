/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What systemd asks of a service: readiness and inherited sockets.
 *
 * Threads:   main.
 * Limits:    none.
 * Security:  none.
 * Standards: sd_notify(3), sd_listen_fds_with_names(3).
 */
#pragma once

/* Sends a state ("READY=1") to $NOTIFY_SOCKET; nothing when there is none. */
void systemd_notify(const char *state);
/* The descriptor that was passed under this name, or -1. */
int systemd_socket(const char *name);
