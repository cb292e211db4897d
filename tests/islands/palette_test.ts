import { ok } from "node:assert/strict";

/** Linear RGB, each from 0 to 1. */
type Color = [number, number, number];

const THEMES = ["light", "dark"] as const;
type Theme = (typeof THEMES)[number];

/** Seen beside each other, so that one must be told from the other. */
const TOGETHER = [
  ["completed", "goal_exits", "in_progress", "dropped_off"],
  ["new_enrollments", "completions", "conversions", "currently_active"],
];

/** Words, and what they stand on: WCAG 2.2 asks for 4.5. */
const WORDS: [ink: string, ground: string][] = [
  ["ink", "ground"],
  ["ink", "surface"],
  ["ink", "sunken"],
  ["ink-soft", "ground"],
  ["ink-soft", "surface"],
  ["ink-soft", "sunken"],
  ["ink-soft", "plain-ground"],
  ["accent", "ground"],
  ["accent", "surface"],
  ["accent", "accent-ground"],
  ["accent-ink", "accent"],
  ["good", "good-ground"],
  ["good", "surface"],
  ["warn", "warn-ground"],
  ["bad", "bad-ground"],
  ["bad", "surface"],
  ["slow", "slow-ground"],
  ["ink", "glow"],
];

/** What is drawn, on the surface: 3. */
const DRAWN = [...TOGETHER.flat(), "line-strong", "accent"];

/**
 * Colours of three kinds of eyes, in linear RGB; for those without long or middle cones
 * by Viénot, Brettel and Mollon (1999).
 */
const EYES: Record<string, (color: Color) => Color> = {
  usual: (color) => color,
  protanopia: ([r, g, b]) => [
    0.11238 * r + 0.88762 * g,
    0.11238 * r + 0.88762 * g,
    0.00401 * r - 0.00401 * g + b,
  ],
  deuteranopia: ([r, g, b]) => [
    0.29275 * r + 0.70725 * g,
    0.29275 * r + 0.70725 * g,
    -0.02234 * r + 0.02234 * g + b,
  ],
};

/** Least distance in OKLab; 0.02 can just be told apart side by side. */
const DISTANCE_MIN = { usual: 0.1, protanopia: 0.06, deuteranopia: 0.06 };

Deno.test("the palette has the contrast that words and drawings need", async () => {
  const colors = await readTokens();
  for (const theme of THEMES) {
    const of = (token: string) => colors[theme].get(token)!;
    const pairs = [
      ...WORDS.map(([ink, ground]) => [ink, ground, 4.5] as const),
      ...DRAWN.map((token) => [token, "surface", 3] as const),
    ];
    for (const [ink, ground, least] of pairs) {
      const contrast = contrastOf(of(ink), of(ground));
      ok(
        contrast >= least,
        `${theme}: ${ink} on ${ground} has ${contrast.toFixed(2)}`,
      );
    }
  }
});

Deno.test("the palette of data is told apart by those who are colour-blind", async () => {
  const colors = await readTokens();
  for (const theme of THEMES) {
    for (const tokens of TOGETHER) {
      for (const [a, b] of pairsOf(tokens)) {
        for (const [eye, least] of Object.entries(DISTANCE_MIN)) {
          const seen = (token: string) => EYES[eye]!(colors[theme].get(token)!);
          const distance = distanceOf(seen(a), seen(b));
          ok(
            distance >= least,
            `${theme}, ${eye}: ${a} and ${b} are ${distance.toFixed(3)} apart`,
          );
        }
      }
    }
  }
});

/** Tokens of the stylesheet that are `light-dark(#…, #…)`. */
async function readTokens(): Promise<Record<Theme, Map<string, Color>>> {
  const style = await Deno.readTextFile(
    new URL("../../islands/style.css", import.meta.url),
  );
  const light = new Map<string, Color>();
  const dark = new Map<string, Color>();
  const found = style.matchAll(
    /--([\w-]+): light-dark\(#(\w{6}), #(\w{6})\);/g,
  );
  for (const [, token, inLight, inDark] of found) {
    light.set(token!, colorOf(inLight!));
    dark.set(token!, colorOf(inDark!));
  }
  return { light, dark };
}

function colorOf(hex: string): Color {
  return [0, 2, 4].map((at) => {
    const share = parseInt(hex.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as Color;
}

function luminance([r, g, b]: Color): number {
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrastOf(a: Color, b: Color): number {
  const [less, more] = [luminance(a), luminance(b)].sort((a, b) => a - b);
  return (more! + 0.05) / (less! + 0.05);
}

function distanceOf(a: Color, b: Color): number {
  const [from, to] = [labOf(a), labOf(b)];
  return Math.hypot(...from.map((value, i) => value - to[i]!));
}

/** OKLab. */
function labOf([r, g, b]: Color): Color {
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function pairsOf(tokens: string[]): [string, string][] {
  return tokens.flatMap((a, i) =>
    tokens.slice(i + 1).map((b) => [a, b] as [string, string])
  );
}
