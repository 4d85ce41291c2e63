// Feature flags through OpenFeature, from a file in flagd's format; an edit counts within a second, without a restart.

import { unwatchFile, watchFile } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { InMemoryProvider, OpenFeature } from '@openfeature/server-sdk';

const LOOK_EVERY_MS = 500; // asks for the file's state, so that an editor that replaces the file is seen too

async function readFlags(path) {
  const { flags } = JSON.parse(await readFile(path, 'utf8'));
  return Object.fromEntries(Object.entries(flags).map(([name, flag]) => {
    if (!(flag.defaultVariant in flag.variants)) throw new Error(`${name}: defaultVariant is none of its variants`);
    return [name, { variants: flag.variants, defaultVariant: flag.defaultVariant, disabled: flag.state !== 'ENABLED' }];
  }));
}

/** Give `isOn(name)`; a flag that is unknown or disabled is off. A file that can't be read leaves the last good one. */
export async function createFlags({ path, log, metrics }) {
  const provider = new InMemoryProvider({});
  await OpenFeature.setProviderAndWait(provider);
  const client = OpenFeature.getClient();
  const isOn = (name) => client.getBooleanValue(name, false);
  const state = metrics.gauge('feature_flag_on', 'Whether a flag is on', { labelNames: ['feature_flag_key'] });

  async function load() {
    try {
      const flags = await readFlags(path);
      await provider.putConfiguration(flags);
      for (const name of Object.keys(flags)) state.set({ feature_flag_key: name }, Number(await isOn(name)));
      log.info({ flags: Object.keys(flags) }, 'feature flags read');
    } catch (error) {
      log.error({ error: error.message }, 'feature flags not read; the last good ones stay');
    }
  }

  await load();
  watchFile(path, { interval: LOOK_EVERY_MS, persistent: false }, load);
  return { isOn, close: () => unwatchFile(path, load) };
}
