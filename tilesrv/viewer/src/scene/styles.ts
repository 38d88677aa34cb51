/** How annotations look on any ground: the label's colour in a dark casing. */

import type { FeatureLike } from "ol/Feature";
import MultiLineString from "ol/geom/MultiLineString";
import MultiPoint from "ol/geom/MultiPoint";
import MultiPolygon from "ol/geom/MultiPolygon";
import Polygon from "ol/geom/Polygon";
import LineString from "ol/geom/LineString";
import CircleStyle from "ol/style/Circle";
import Fill from "ol/style/Fill";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import Text from "ol/style/Text";
import { apart } from "../annotate/shapes";

const kept = new Map<string, Style[]>();
/** Screen pixels between corners that are shown. */
const APART = 10;
const CASING = "rgba(0,0,0,0.55)";

/** `#rrggbb` with an opacity. */
export function faded(colour: string, opacity: number): string {
  const number = Number.parseInt(colour.slice(1), 16);
  return `rgba(${number >> 16},${(number >> 8) & 255},${number & 255},${opacity})`;
}

/** Styles of a colour; the same objects each time, so that drawing stays fast. */
export function styleOf(colour: string, selected: boolean): Style[] {
  const key = colour + String(selected);
  let found = kept.get(key);
  if (!found) {
    const fill = new Fill({ color: faded(colour, selected ? 0.32 : 0.16) });
    const radius = selected ? 7 : 5;
    const casing = new Stroke({ color: selected ? "rgba(255,255,255,0.9)" : CASING, width: selected ? 5 : 3.5 });
    found = [
      new Style({ stroke: casing, image: new CircleStyle({ radius: radius + 1.5, fill: new Fill({ color: selected ? "#fff" : CASING }) }) }),
      new Style({
        fill,
        stroke: new Stroke({ color: colour, width: 2 }),
        image: new CircleStyle({ radius, fill: new Fill({ color: colour }) }),
      }),
    ];
    kept.set(key, found);
  }
  return found;
}

const cornerImage = new CircleStyle({ radius: 4, fill: new Fill({ color: "#fff" }), stroke: new Stroke({ color: "#000", width: 1 }) });

/** Corners of a selected outline, where it can be taken; of those of a line drawn freely not all, or they would hide it. */
export function corners(resolution: number): Style {
  return new Style({
    image: cornerImage,
    geometry: (feature) => {
      const geometry = feature.getGeometry();
      const lines = geometry instanceof Polygon || geometry instanceof MultiLineString ? geometry.getCoordinates()
        : geometry instanceof MultiPolygon ? geometry.getCoordinates().flat() : geometry instanceof LineString ? [geometry.getCoordinates()] : [];
      return lines.length ? new MultiPoint(lines.flatMap((line) => apart(line, APART * resolution))) : undefined;
    },
  });
}

/** Lines that join key points. */
export function joins(colour: string, lines: number[][][]): Style[] {
  const geometry = new MultiLineString(lines);
  return [new Style({ geometry, stroke: new Stroke({ color: CASING, width: 3.5 }) }), new Style({ geometry, stroke: new Stroke({ color: colour, width: 2 }) })];
}

/** A square or round handle. */
export function handleStyle(round: boolean): Style {
  return new Style({
    image: new CircleStyle({
      radius: 6, fill: new Fill({ color: round ? "#3cc0ab" : "#fff" }), stroke: new Stroke({ color: "#000", width: 1.5 }),
    }),
  });
}

/** Lines while something is drawn. */
export function sketch(colour: string): Style[] {
  return [
    new Style({ stroke: new Stroke({ color: CASING, width: 4 }) }),
    new Style({
      stroke: new Stroke({ color: colour, width: 2 }),
      fill: new Fill({ color: faded(colour, 0.2) }),
      image: new CircleStyle({ radius: 5, fill: new Fill({ color: colour }), stroke: new Stroke({ color: "#fff", width: 1.5 }) }),
    }),
  ];
}

/** A number in a disc: how many annotations are there, too small to be drawn. */
export function countStyle(feature: FeatureLike, colour: string): Style {
  const count = Number(feature.get("count") ?? 1);
  const key = `count${colour}${count}`;
  const found = kept.get(key)?.[0];
  if (found) return found;
  const text = count >= 10_000 ? `${Math.round(count / 1000)}k` : String(count);
  const made = new Style({
    zIndex: Math.round(Math.log2(count + 1)), // where numbers are too close, the largest lies on top
    image: new CircleStyle({ radius: 4 + 1.6 * Math.log2(count + 1), fill: new Fill({ color: faded(colour, 0.75) }), stroke: new Stroke({ color: CASING, width: 1 }) }),
    ...(count > 20 ? { text: new Text({ text, font: "600 11px system-ui, sans-serif", fill: new Fill({ color: "#fff" }), stroke: new Stroke({ color: "rgba(0,0,0,0.7)", width: 3 }) }) } : {}),
  });
  kept.set(key, [made]);
  return made;
}
