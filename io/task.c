/* SPDX-License-Identifier: Apache-2.0 */
/* Work at the end of a turn. */
#include "io/ring_p.h"

void sm_task_init(sm_task *task, void (*run)(sm_task *task))
{
    sm_list_init(&task->node);
    task->run = run;
}

void sm_task_schedule(sm_loop *loop, sm_task *task, enum sm_phase phase)
{
    if (sm_list_empty(&task->node)) {
        sm_list_push_back(&loop->tasks[phase], &task->node);
    }
}

void sm_task_cancel(sm_task *task)
{
    sm_list_remove(&task->node);
}

void sm_tasks_run(sm_loop *loop, enum sm_phase phase)
{
    sm_list now; /* what is scheduled from here on waits for the next turn */
    sm_list_init(&now);
    sm_list_splice_back(&now, &loop->tasks[phase]);
    sm_list *node;
    while ((node = sm_list_pop_front(&now)) != NULL) {
        sm_task *task = SM_CONTAINER_OF(node, sm_task, node);
        task->run(task);
    }
}
