const cell = new Int32Array(new SharedArrayBuffer(4));
let waiting = 0;
let turning = false;

function turn(): void {
  turning = waiting > 0;
  if (!turning) return;
  Atomics.wait(cell, 0, 0, 1);
  setImmediate(turn).unref();
}

/**
 * Awaits GPU work with the event loop slowed to a turn a millisecond. Dawn polls in a busy loop while work is pending, and
 * so takes a core away from an adapter that computes on the CPU; on a real GPU leave it out.
 */
export async function throttle<T>(pending: Promise<T>): Promise<T> {
  waiting++;
  if (!turning) {
    turning = true;
    setImmediate(turn).unref();
  }
  try {
    return await pending;
  } finally {
    waiting--;
  }
}
