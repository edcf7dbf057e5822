const cell = new Int32Array(new SharedArrayBuffer(4));
let waiting = 0;
let turning = false;
let since = 0;

function turn(): void {
  turning = waiting > 0;
  if (!turning) return;
  // A small copy is over in a fraction of a millisecond: spin so long before the first sleep.
  if (performance.now() - since > 0.3) Atomics.wait(cell, 0, 0, 1);
  setImmediate(turn).unref();
}

/**
 * Awaits GPU work with the event loop slowed to a turn a millisecond. Dawn polls in a busy loop while work is pending, and
 * so takes a core away from an adapter that computes on the CPU; on a real GPU leave it out.
 */
export async function throttle<T>(pending: Promise<T>): Promise<T> {
  waiting++;
  since = performance.now();
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
