/** Base of every error that slimgrad throws on purpose. Its message names what failed, what was expected, what came, and the remedy. */
export class SlimgradError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name; // the kinds below say theirs, for a minifier renames classes
  }
}

/** An op was given tensors whose shapes do not fit together. */
export class ShapeError extends SlimgradError {
  override name = 'ShapeError';
}

/** A setting, flag or configuration key is unknown, of the wrong type, or out of range. */
export class ConfigError extends SlimgradError {
  override name = 'ConfigError';
}

/** A file or data set is missing, truncated, foreign or otherwise unusable. */
export class DataError extends SlimgradError {
  override name = 'DataError';
}

/** No usable adapter, or one that lacks what was asked of it. */
export class DeviceError extends SlimgradError {
  override name = 'DeviceError';
}

/** The device went away (driver reset, tab suspended, unplugged). Nothing on it can be read any more. */
export class DeviceLostError extends DeviceError {
  override name = 'DeviceLostError';
}

/** The adapter cannot hold what was asked of it; thrown before anything is allocated where the size is known. */
export class OutOfMemoryError extends DeviceError {
  override name = 'OutOfMemoryError';
}

/** The GPU refused a command, or a plan was used out of turn; `internal:` marks what is a bug of slimgrad. */
export class ValidationError extends DeviceError {
  override name = 'ValidationError';
}

/** The loss or a tensor became NaN or infinite. */
export class NonFiniteError extends SlimgradError {
  override name = 'NonFiniteError';
}
